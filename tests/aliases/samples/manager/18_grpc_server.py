self.active_sessions = {}
self.global_interrupt_flag = False

from modules.session_management.core.session_manager import SessionManager

self.session_manager = SessionManager(config)
await self.session_manager.initialize()
