from modules.session_management.core.session_manager import SessionManager

manager = SessionManager(config)

await manager.initialize()

session_data = await manager.create_session(
    user_agent="Mozilla/5.0...",
    ip_address="192.168.1.1",
    context={"user_preferences": {"language": "en"}}
)

print(f"Session created: {session_data['session_id']}")
print(f"Hardware ID: {session_data['hardware_id']}")

await manager.cleanup()
