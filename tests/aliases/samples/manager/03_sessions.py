status = await manager.get_session_status(session_id)
print(f"Session status: {status['status']}")
print(f"Last activity: {status['last_activity']}")

success = await manager.interrupt_session(session_id, "user_request")
print(f"Session interrupted: {success}")

count = await manager.interrupt_all_sessions("system_shutdown")
print(f"Interrupted {count} sessions")
