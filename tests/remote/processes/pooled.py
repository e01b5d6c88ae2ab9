"""What processes of a pool do; imported by spawned ones."""

from __future__ import annotations

from insession.remote.sankhya import Partner, SankhyaContext


def find_own(number: int) -> int:
    """Find so many partners in a context of this process."""
    with SankhyaContext.from_settings() as ctx:
        return len(ctx.wrapper.find(Partner, f"CODPARC <= {number}"))
