config = {
    'hardware_id_cache_file': 'hardware_id.cache',
    'hardware_id_length': 32,
    'hardware_id_charset': 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',

    'session_timeout': 3600,
    'session_cleanup_interval': 300,
    'max_concurrent_sessions': 100,
    'session_heartbeat_interval': 30,

    'interrupt_timeout': 5,
    'interrupt_cleanup_delay': 10,
    'global_interrupt_enabled': True,

    'tracking_enabled': True,
    'track_user_agents': True,
    'track_ip_addresses': False,
    'track_timestamps': True
}
