provider = manager.hardware_id_provider
success = provider.regenerate_hardware_id()
if success:
    await manager.cleanup()
    await manager.initialize()
