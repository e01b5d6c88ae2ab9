"""The names of the session management module's guide, and what they are here."""

from __future__ import annotations

from typing import Final

from insession.kernel.documented import Documented, DocumentedLogger

from .logs import NAME

_MANAGER: Final = {"SessionManager": "insession.tracking.manager:SessionManager"}
_CONFIG: Final = {"SessionManagementConfig": "insession.tracking.config:SessionManagementConfig"}
DOCUMENTED: Final = Documented(
    root="modules.session_management",
    modules={
        "": _MANAGER | _CONFIG,
        "config": _CONFIG,
        "core.session_manager": _MANAGER,
        "providers.hardware_id_provider": {"HardwareIDProvider": "insession.tracking.hardware:HardwareIDProvider"},
        "providers.session_tracker": {"SessionTracker": "insession.tracking.tracker:SessionTracker"},
    },
    loggers=(DocumentedLogger(name="modules.session_management", ours=NAME, use="insession.tracking.logs:use"),),
)
