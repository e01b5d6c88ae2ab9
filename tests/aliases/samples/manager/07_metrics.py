metrics = manager.get_metrics()
hardware_metrics = metrics['hardware_id_provider']
tracker_metrics = metrics['session_tracker']

print(f"Hardware ID requests: {hardware_metrics['total_requests']}")
print(f"Session requests: {tracker_metrics['total_requests']}")
print(f"Success rate: {tracker_metrics['success_rate']:.2%}")
