"""What schemathesis is told of our requests; it loads this file into its own process."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import GenerationMode

from insession.service.wire import LONGEST_WAIT


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Nobody waits a minute for work that nobody does; and what should be well-formed is."""
    del kwargs
    body: Any = case.body
    if isinstance(body, dict) and isinstance(body.get("wait"), float | int) and 0 < body["wait"] <= LONGEST_WAIT:
        body["wait"] = 0.01
    # It draws no ETag, and counts a request with something else as one that should be accepted.
    positive = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if positive and case.headers and "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
