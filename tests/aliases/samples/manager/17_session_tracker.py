from modules.session_management.providers.session_tracker import SessionTracker

config = {
    'session_timeout': 60,
    'max_concurrent_sessions': 10
}

tracker = SessionTracker(config)
await tracker.initialize()

session_data = {
    'hardware_id': 'test-hardware-id',
    'user_agent': 'Test Agent'
}

session_result = None
async for result in tracker.process(session_data):
    session_result = result
    break

assert session_result is not None
assert session_result['session_id'] is not None
