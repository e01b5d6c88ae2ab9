"""Every sample of the document about sessions with Sankhya, the double standing for the service.

Lines are as printed but for these: a `try:` that holds nothing but a comment gets a `pass`, the list of items, printed
as `[...]`, gets items, and the public host becomes the double's.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from insession import aliases
from insession.remote import sankhya
from insession.testing import SankhyaDouble

from .sampled import Samples

PATHS = {
    "sankhya_sdk": ("SankhyaContext", "AsyncSankhyaContext", "SankhyaSettings"),
    "sankhya_sdk.core.settings": ("SankhyaSettings",),
    "sankhya_sdk.request_wrappers": ("SimpleCRUDRequestWrapper",),
    "sankhya_sdk.transport_entities": ("Partner",),
    "sankhya_sdk.models.transport.partner": ("Partner",),
    "sankhya_sdk.exceptions": (
        "SankhyaException",
        "ServiceRequestException",
        "ServiceRequestInvalidAuthorizationException",
    ),
}


@pytest.fixture
def double() -> Iterator[SankhyaDouble]:
    with SankhyaDouble(seed=20, answers={"ServiceName": "<resultado>1</resultado>"}) as double:
        yield double


@pytest.fixture
def samples(double: SankhyaDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Samples]:
    """The samples, in an environment that names the double."""
    for name, value in {
        "SANKHYA_BASE_URL": double.url,
        "SANKHYA_USERNAME": "SUP",
        "SANKHYA_PASSWORD": "secret",
        "INSESSION_STORE": f"sqlite:///{tmp_path / 'sessions.db'}?synchronous=normal",
        "INSESSION_STATE_DIR": str(tmp_path / "state"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with aliases.install("sankhya_sdk"):
        samples = Samples("remote")
        samples.names |= {"Partner": sankhya.Partner, "build_request": build_request}
        yield samples
        for ctx in {id(one): one for one in samples.names.values() if isinstance(one, sankhya.SankhyaContext)}.values():
            ctx.dispose()
    for path in [path for path in sys.modules if path.partition(".")[0] == "sankhya_sdk"]:
        del sys.modules[path]


def build_request(item: Any) -> dict[str, Any]:
    """What the samples take for granted: the body of a save."""
    name = f"Item {item['id']}" if isinstance(item, dict) else "Item"
    row = {"localFields": {"NOMEPARC": {"$": name}}}
    return {"dataSet": {"rootEntity": "Parceiro", "dataRow": row, "entity": {"path": "", "fieldset": {"list": "*"}}}}


def ended(double: SankhyaDouble, sessions: int) -> None:
    """So many sessions were begun, and each was logged out."""
    counters = double.counters
    assert (counters.logins_ok, counters.logouts, counters.live_sessions) == (sessions, sessions, 0)
    assert (counters.overlaps, counters.duplicate_saves, counters.violations) == (0, 0, ())


def test_every_sample_is_run() -> None:
    names = {file.stem.partition("_")[2] for file in Samples("remote").files}
    assert len(names) == 14
    assert names == set(re.findall(r'samples\.run_plain\(\s*"(\w+)"', Path(__file__).read_text("utf-8")))


@pytest.mark.requirement("S71")
def test_the_documented_paths_resolve(samples: Samples) -> None:
    for path, names in PATHS.items():
        for name in names:
            home = sankhya if hasattr(sankhya, name) else sankhya.errors
            assert getattr(importlib.import_module(path), name) is getattr(home, name)


@pytest.mark.requirement("S1", "S79")
def test_the_block(samples: Samples, double: SankhyaDouble) -> None:
    found = samples.run_plain("basic_use")["resultado"]
    assert len(found) == 23
    ended(double, 1)


def test_without_a_block(samples: Samples, double: SankhyaDouble) -> None:
    assert len(samples.run_plain("without_block")["resultado"]) == 23
    ended(double, 1)


@pytest.mark.requirement("S6")
def test_several_sessions(samples: Samples, double: SankhyaDouble, capsys: pytest.CaptureFixture[str]) -> None:
    bound = samples.run_plain("sessions", request1={}, request2={})
    assert isinstance(bound["token1"], UUID)
    assert capsys.readouterr().out == f"Sessão 1: {bound['token1']}\nSessão 2: {bound['token2']}\n"
    assert bound["result1"].element.findtext("resultado") == "1"
    assert len({one.session for one in double.requests("ServiceName")}) == 2
    ended(double, 3)


@pytest.mark.requirement("S78")
def test_detaching(samples: Samples, double: SankhyaDouble) -> None:
    bound = samples.run_plain("detaching", request={}, SankhyaContext=sankhya.SankhyaContext)
    assert isinstance(bound["wrapper_serializado"], str | bytes)
    assert bound["result"].element.findtext("resultado") == "1"
    bound["ctx1"].dispose()
    bound["ctx2"].dispose()
    ended(double, 3)


def test_threads(samples: Samples, double: SankhyaDouble, capsys: pytest.CaptureFixture[str]) -> None:
    items = "[{'id': number} for number in range(250)]"
    samples.run_plain("threads", replaced={"[...]": items})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 250
    assert "Batch 2: Processado item 249" in printed
    assert double.count() == 23 + 250
    assert double.counters.peak_live_sessions <= 6
    ended(double, 4)


@pytest.mark.requirement("S14")
def test_async_use(samples: Samples, double: SankhyaDouble) -> None:
    samples.run_plain("async_use")
    assert double.counters.executed["CRUDServiceProvider.loadRecords"] == 10
    counters = double.counters
    assert counters.logouts == counters.logins_ok
    ended(double, counters.logins_ok)


def test_async_sessions(samples: Samples, double: SankhyaDouble) -> None:
    import asyncio

    bound = samples.run_plain("async_sessions", asyncio=asyncio, AsyncSankhyaContext=sankhya.AsyncSankhyaContext)
    asyncio.run(bound["main"]())
    assert double.counters.executed["ServiceName"] == 1
    ended(double, 2)


@pytest.mark.requirement("S69")
def test_settings(samples: Samples, double: SankhyaDouble) -> None:
    credentials = {"https://api.sankhya.com.br": double.url, '"usuario"': '"SUP"', '"senha"': '"secret"'}
    bound = samples.run_plain("settings", replaced=credentials, SankhyaContext=sankhya.SankhyaContext)
    assert bound["settings"].session_timeout == 300
    assert bound["settings"].auto_renew_session is True
    bound["ctx"].dispose()
    ended(double, 1)


def test_blocks(samples: Samples, double: SankhyaDouble) -> None:
    bound = samples.run_plain("blocks", SankhyaContext=sankhya.SankhyaContext)
    bound["ctx"].dispose()
    ended(double, 2)


def test_limits(samples: Samples) -> None:
    before = threading.active_count()
    samples.run_plain("limits")
    assert threading.active_count() == before


def test_closing(samples: Samples, double: SankhyaDouble) -> None:
    ctx = sankhya.SankhyaContext.from_settings()
    samples.run_plain("closing", replaced={"    # operações\nfinally": "    pass\nfinally"}, ctx=ctx)
    # The last lines show what not to do: the context's end is what closes it.
    assert double.counters.live_sessions == 2
    ctx.dispose()
    ended(double, 3)


@pytest.mark.requirement("S32", "S77")
def test_errors(samples: Samples, double: SankhyaDouble) -> None:
    ctx = sankhya.SankhyaContext.from_settings()
    given: dict[str, Any] = {"SankhyaContext": sankhya.SankhyaContext}
    assert len(samples.run_plain("errors", ctx=ctx, **given)["result"]) == 23
    double.expire()
    double.change(password="other")
    theirs = importlib.import_module("sankhya_sdk.exceptions")
    with pytest.raises(theirs.ServiceRequestInvalidAuthorizationException):
        samples.run_plain("errors", ctx=ctx, **given)
    ctx.dispose()


@pytest.mark.requirement("S25", "S77")
def test_an_expired_session_takes_the_documents_way(samples: Samples, double: SankhyaDouble) -> None:
    settings = sankhya.SankhyaSettings(auto_renew_session=False)
    ctx = sankhya.SankhyaContext(settings)
    double.expire()
    bound = samples.run_plain("errors", ctx=ctx, SankhyaContext=sankhya.SankhyaContext)
    assert bound["ctx"] is not ctx
    assert len(bound["result"]) == 23
    assert double.counters.logins_ok == 2


@pytest.mark.requirement("S65")
def test_logging(samples: Samples, double: SankhyaDouble, caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger().level
    try:
        # The sample's basicConfig does nothing beside pytest's handlers: what it asks for is asked for here.
        logging.getLogger().setLevel(logging.DEBUG)
        bound = samples.run_plain("logging")
        with sankhya.SankhyaContext.from_settings() as ctx:
            ctx.finalize_session(ctx.acquire_session())
            double.expire()
            ctx.wrapper.find(sankhya.Partner, "CODPARC = 1")
            sessions = {one.session for one in double.log} - {""}
    finally:
        logging.getLogger().setLevel(level)
        bound["logger"].setLevel(logging.NOTSET)
    records = [one for one in caplog.records if one.name == "sankhya_sdk.session"]
    said = "\n".join(one.getMessage() for one in records)
    for word in ("logged in", "logged out", "created", "finalized", "renewed"):
        assert word in said.lower(), said
    everything = caplog.text
    assert "secret" not in everything
    assert not [one for one in sessions if one in everything or one.partition(".")[0] in everything]


@pytest.mark.requirement("S64", "S80")
def test_statistics(samples: Samples, double: SankhyaDouble, capsys: pytest.CaptureFixture[str]) -> None:
    with sankhya.SankhyaContext.from_settings() as ctx:
        ctx.finalize_session(ctx.acquire_session())
        double.expire()
        ctx.wrapper.find(sankhya.Partner, "CODPARC = 1")
        samples.run_plain("statistics", ctx=ctx)
    printed = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["1", "2", "1", "1"]
