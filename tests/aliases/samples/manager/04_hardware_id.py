hardware_id = await manager.get_hardware_id()
print(f"Hardware ID: {hardware_id}")
