old_sessions = manager.session_tracker.active_sessions
for session_id, session in old_sessions.items():
    new_session = migrate_session_data(session)
