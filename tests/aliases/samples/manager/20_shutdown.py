async def shutdown(self):
    count = await self.session_manager.interrupt_all_sessions("server_shutdown")
    logger.info(f"Interrupted {count} sessions during shutdown")
    await self.session_manager.cleanup()
