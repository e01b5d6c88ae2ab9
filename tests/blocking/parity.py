"""Comparing a blocking class with the asynchronous one that it stands for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from typing import Any

TWINS = (
    (r"AbstractAsyncContextManager", "AbstractContextManager"),
    (r"AsyncItera", "Itera"),
    (r"\b(Engine|EventStream|Items|Lock|Session|SessionManager|SessionPage|Subscription)\b", r"Blocking\1"),
)
METHODS = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__anext__": "__next__", "__aiter__": "__iter__"}


def public(kind: type) -> dict[str, Any]:
    """Everything that users may use of a class, and the methods that the language calls for them."""
    found: dict[str, Any] = {}
    for name in dir(kind):
        if not name.startswith("_") or name in METHODS or name in METHODS.values():
            found[name] = inspect.getattr_static(kind, name)
    return found


def blocking_form(annotation: Any) -> Any:
    """An annotation as the blocking form has it."""
    if not isinstance(annotation, str):
        return annotation
    for pattern, instead in TWINS:
        annotation = re.sub(pattern, instead, annotation)
    return annotation


def signature(method: Any) -> tuple[Any, ...]:
    """Names, kinds, defaults and annotations of the parameters, and what comes back."""
    found = inspect.signature(method)
    parameters = [(one.name, one.kind, one.default, one.annotation) for one in found.parameters.values()]
    return parameters, found.return_annotation


def differences(twin: type, blocking: type, *, missing: Collection[str] = (), more: Collection[str] = ()) -> list[str]:
    """What a blocking class has otherwise than its asynchronous twin, but for names that are said to be."""
    theirs = {METHODS.get(name, name): member for name, member in public(twin).items()}
    ours = public(blocking)
    wrong = [f"{name}: missing" for name in theirs.keys() - ours.keys() - set(missing)]
    wrong += [f"{name}: only here" for name in ours.keys() - theirs.keys() - set(more)]
    wrong += [f"{name}: is not missing" for name in set(missing) & ours.keys()]
    wrong += [f"{name}: is not only here" for name in set(more) - (ours.keys() - theirs.keys())]
    for name in theirs.keys() & ours.keys():
        if inspect.isfunction(theirs[name]) and name not in METHODS.values():
            wrong += _differing(name, theirs[name], ours[name])
        elif isinstance(ours[name], property) and not ours[name].__doc__:
            wrong.append(f"{name}: is not documented")
    return wrong


def _differing(name: str, theirs: Any, ours: Any) -> list[str]:
    parameters, returned = signature(theirs)
    expected = [(*one[:3], blocking_form(one[3])) for one in parameters], blocking_form(returned)
    wrong = (
        [] if signature(ours) == expected else [f"{name}: {inspect.signature(ours)} for {inspect.signature(theirs)}"]
    )
    if not ours.__doc__:
        wrong.append(f"{name}: is not documented")
    if inspect.iscoroutinefunction(ours):
        wrong.append(f"{name}: is not blocking")
    return wrong
