stats = manager.get_session_statistics()
print(f"Active sessions: {stats['active_sessions']}")
print(f"Session history: {stats['session_history_count']}")
print(f"Cleanup batch size: {performance_settings['cleanup_batch_size']}")
