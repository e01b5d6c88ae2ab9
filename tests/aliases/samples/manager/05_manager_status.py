status = manager.get_status()
print(f"Initialized: {status['is_initialized']}")
print(f"Hardware ID available: {status['hardware_id_provider']['is_available']}")
print(f"Session tracker available: {status['session_tracker']['is_available']}")
