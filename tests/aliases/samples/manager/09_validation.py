from modules.session_management.config import SessionManagementConfig

config = SessionManagementConfig(your_config)
if config.validate():
    print("Configuration is valid")
else:
    print("Configuration validation failed")
