try:
    if manager.session_tracker.global_interrupt_flag:
        raise Exception("Global interrupt active")

    result = await some_operation()

except asyncio.CancelledError:
    logger.info("Operation cancelled")
except Exception as e:
    logger.error(f"Operation error: {e}")
