status = manager.get_status()
print(f"Hardware ID status: {status['hardware_id_provider']['status']}")
print(f"Session tracker status: {status['session_tracker']['status']}")

stats = manager.get_session_statistics()
print(f"Active sessions: {stats['active_sessions']}")
print(f"Global interrupt: {stats['global_interrupt_flag']}")

hardware_health = await manager.hardware_id_provider.health_check()
tracker_health = await manager.session_tracker.health_check()
print(f"Hardware ID healthy: {hardware_health}")
print(f"Session tracker healthy: {tracker_health}")
