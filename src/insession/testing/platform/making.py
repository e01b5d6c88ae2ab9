"""Files that the platform makes up."""

from __future__ import annotations

import json
from typing import Any

from .rules import FileId, PlatformFile, PlatformRules

_WORDS = "пациент поступил с жалобами на кашель, <температура> 37,9 & слабость; назначено лечение. "  # noqa: RUF001 - what files of the platform look like


def made_up(file_id: FileId, rules: PlatformRules) -> PlatformFile:
    """A document of about `PlatformRules.size` characters that no other file has; text beyond ASCII, and markup."""
    text = (_WORDS * (rules.size // len(_WORDS) + 1))[: rules.size]
    if rules.content == "xml" or rules.dialect == "2023":
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        return PlatformFile(
            id=file_id,
            content=f'<?xml version="1.0" encoding="UTF-8"?>\n<epicrisis id="{file_id}">{escaped}</epicrisis>\n',
        )
    document: dict[str, Any] = {"meta": {"id": f"essay-{file_id}", "theme": "кашель"}, "text": text}
    return PlatformFile(id=file_id, content=document if rules.content == "object" else _spaced(document))


def _spaced(document: dict[str, Any]) -> str:
    """JSON as no compact encoder writes it: a client that decodes and encodes again is found out."""
    return json.dumps(document, ensure_ascii=False, indent=1)
