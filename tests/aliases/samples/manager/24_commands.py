summary = manager.get_summary()
print(summary)

manager.reset_metrics()

security = manager.get_security_settings()
performance = manager.get_performance_settings()
tracking = manager.get_tracking_settings()
