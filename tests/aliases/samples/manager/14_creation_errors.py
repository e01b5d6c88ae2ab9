try:
    session_data = await manager.create_session()
    print(f"Session created: {session_data['session_id']}")
except Exception as e:
    logger.error(f"Session creation error: {e}")
