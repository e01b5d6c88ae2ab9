"""What schemathesis is told of our requests; it loads this file into its own process."""

from __future__ import annotations

import os
from typing import Any

import httpx2
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation

from insession.service.wire import LONGEST_WAIT

FIRST = "[^/~\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]"
HTTP = httpx2.Client(
    base_url=os.environ["SERVICE_URL"],
    headers={"Authorization": os.environ["SERVICE_AUTHORIZATION"]},
    trust_env=False,
)


@schemathesis.hook
def before_load_schema(_: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """It puts no slash into a path, and every key has one: it comes in `before_call`."""
    for operation in raw_schema["paths"]["/v1/items/{key}"].values():
        key = next(one for one in operation["parameters"] if one["name"] == "key")
        key["schema"] = {"type": "string", "pattern": f"^{FIRST}+(/{FIRST}*)?$"}


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Say what a schema cannot, so that requests get as far as the engine."""
    del kwargs
    body: Any = case.body
    if isinstance(body, dict):
        _mend_body(body)
    if isinstance(body, dict | list | int):
        case.body = _kept(body)
    assert case.meta is not None
    # It draws no ETag, and counts a request with something else as one that should be accepted.
    for name in ("If-Match", "If-None-Match"):
        if case.meta.generation.mode is GenerationMode.POSITIVE and case.headers and name in case.headers:
            case.headers[name] = "*"
    path = case.meta.components.get(ParameterLocation.PATH)
    if path is not None and path.mode is GenerationMode.POSITIVE:
        _mend_path(case)


def _mend_path(case: schemathesis.Case[Any]) -> None:
    if "key" in case.path_parameters:
        case.path_parameters["key"] = f"notes/{case.path_parameters['key']}"
    # The sessions that it opens are soon ended, most of them by itself.
    if case.path.endswith(("/touch", "/data")):
        case.path_parameters["session_id"] = HTTP.post("/v1/sessions").json()["id"]


def _mend_body(body: dict[str, Any]) -> None:
    # Nobody waits a minute for work that nobody does.
    wait = body.get("wait")
    if isinstance(wait, float | int) and 0 < wait <= LONGEST_WAIT:
        body["wait"] = 0.01
    # To JSON Schema 98.0 is a whole number, to us 98 is.
    for name in ("queue", "permits", "fencing_token"):
        number = body.get(name)
        if isinstance(number, float) and number.is_integer():
            body[name] = int(number)


def _kept(data: Any) -> Any:
    """Data with whole numbers that fit into 64 bits: others are refused, however deep they lie."""
    if isinstance(data, dict):
        return {key: _kept(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_kept(value) for value in data]
    return 64 if type(data) is int and not -(1 << 63) <= data < 1 << 64 else data
