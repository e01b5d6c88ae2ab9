"""The platform's double, tried with a plain client: what it promises to users' own tests."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import pytest

import insession.testing
from insession.errors import InvalidInput
from insession.testing.platform import (
    Drop,
    PlatformDouble,
    PlatformFaults,
    PlatformFile,
    PlatformProcess,
    PlatformRules,
)

from .plain import START, START_2023, Participant
from .sessions import HEARTBEAT

QUICK = {"interval": 0.0, "downtime": 0.05}


def platform(
    faults: PlatformFaults | None = None, files: tuple[PlatformFile, ...] = (), **rules: Any
) -> PlatformDouble:
    return PlatformDouble(rules=PlatformRules.of(QUICK | rules), faults=faults, files=files)


def test_it_is_found_in_testing() -> None:
    assert insession.testing.PlatformDouble is PlatformDouble
    with pytest.raises(AttributeError, match="Platform"):
        insession.testing.Platform  # noqa: B018


async def test_a_session_of_2021() -> None:
    async with platform(count=2, content="xml") as double, Participant(double) as client:
        await client.say("session-start", START)
        session = (await client.until("session-start-success"))["sessionId"]
        for _ in range(2):
            file = await client.until("session-file-avaiable")
            assert file["content"].startswith("<?xml")
            await client.answer(file, f"[{file['fileId']!r}]")
            assert await client.until("session-file-send-success") == {"sessionId": session, "fileId": file["fileId"]}
        assert await client.until("session-close") == {"sessionId": session, "type": "finish"}
        counters = double.counters()
    assert (counters.sent, counters.answered, counters.repeats, counters.violations) == (2, 2, 0, [])
    assert counters.starts == [START]
    assert counters.closed == ["finish"]
    assert [file.answer for file in counters.files] == ["['000001']", "['000002']"]


async def test_a_session_of_2023_with_a_download_that_fails_once() -> None:
    faults = PlatformFaults(fail_download_every=1, download_status=404)
    async with platform(faults, dialect="2023") as double, Participant(double) as client:
        await client.say("session-start", START_2023)
        for _ in range(3):
            file = await client.until("session-send-next-file")
            query = f"?baselineToken=participant&epicrisisId={file['epicrisisId']}"
            assert await _status(double.download_url + query) == 404
            assert await _status(double.download_url + query) == 200
            ids = {name: file[name] for name in ("sessionId", "epicrisisId", "taskId")}
            await client.say("session-send-file-result", {**ids, "answer": [{"decorCode": "A01"}]})
            await client.until("session-file-send-success")
        await client.until("session-close")
        counters = double.counters()
    assert (counters.answered, counters.downloads, counters.violations) == (3, 6, [])


async def _status(url: str) -> int:
    def look() -> int:
        try:
            with urllib.request.urlopen(url) as answer:  # noqa: S310 - the double's own
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(look)


async def test_a_token_that_is_not_known_is_refused_after_the_connection() -> None:
    async with platform(tokens=("known",)) as double, Participant(double, "other") as client:
        assert await client.until("connection-auth-error") == {"message": "the token is not known"}
        await client.until("left")
        assert double.counters().refused_tokens == 1


async def test_a_token_has_one_active_session() -> None:
    async with platform(joins=False, interval=9) as double, Participant(double) as client:
        await client.say("session-reconnect")
        await client.until("session-reconnect-error")
        await client.say("session-start", START)
        session = await client.until("session-start-success")
        await client.say("session-start", START)
        await client.until("session-start-error")
        async with Participant(double) as other:
            await other.say("session-reconnect")
            assert await other.until("session-reconnect-success") == session
            await other.say("session-cliend-abort", {"sessionId": session["sessionId"], "message": "enough"})
            await other.until("session-cliend-abort-success")
            await other.say("session-client-abort")
            await other.until("session-client-abort-error")
        counters = double.counters()
    assert counters.aborts == ["enough", ""]
    assert counters.closed == ["client-abort"]


@pytest.mark.parametrize("away", ["later", "lost"])
async def test_what_falls_due_while_nobody_is_there_follows_the_rule(away: str) -> None:
    async with platform(count=4, interval=0.1, away=away, patience=0.5) as double:
        async with Participant(double) as client:
            await client.say("session-start", START)
            await client.answer(await client.until("session-file-avaiable"))
            await client.until("session-file-send-success")
        await asyncio.to_thread(double.wait_until, lambda counters: counters.disconnections == 1)
        missed = away == "lost"
        if missed:
            await asyncio.to_thread(double.wait_until, lambda counters: sum(one.missed for one in counters.files) >= 2)
        async with Participant(double) as client:
            for _ in range(0 if missed else 3):
                await client.answer(await client.until("session-file-avaiable"))
            await client.until("session-close")
        files = double.counters().files
    assert [file.missed for file in files[1:3]] == [missed] * 2
    assert [file.answers for file in files[1:3]] == [0 if missed else 1] * 2


@dataclass
class Stubborn:
    """Connects again and again, and answers whatever comes."""

    double: PlatformDouble
    reasons: list[str] = field(default_factory=list)

    async def serve(self) -> None:
        while "session-close" not in self.reasons:
            try:
                async with Participant(self.double) as client:
                    await self._listen(client)
            except Exception as error:  # noqa: BLE001 - the server is away for a moment
                self.reasons.append(type(error).__name__)
                await asyncio.sleep(0.02)

    async def _listen(self, client: Participant) -> None:
        if not self.double.counters().starts:
            await client.say("session-start", START)
        while True:
            event, payload = await client.next()
            if event in {"session-file-avaiable", "session-file-send-error"} and payload["sessionId"] != "9000":
                await client.answer(payload, payload["fileId"])
            elif event in {"left", "session-close"}:
                self.reasons.append(event)
                return


@pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")  # of the library, where it is cut off
async def test_faults_come_in_turn_and_are_counted() -> None:
    faults = PlatformFaults(
        drop_every=3,
        drops=("transport", "disconnect", "restart", "half-open", "close"),
        duplicate_every=4,
        swap_every=5,
        foreign_every=6,
        refuse_every=7,
        lose_acknowledgement_every=8,
    )
    async with platform(faults, count=24, interval=0.005, patience=40, **HEARTBEAT) as double:
        await asyncio.wait_for(Stubborn(double).serve(), 40)
        counters = double.counters()
    assert set(counters.drops) >= {"transport", "disconnect", "restart", "half-open"}
    assert counters.connections > counters.joins >= 3
    assert counters.foreign >= 1
    assert counters.violations == []
    by_place = dict(enumerate(counters.files, 1))
    assert all(by_place[place].refused == 1 for place in (7, 14, 21))
    assert all(file.equal for file in counters.files)
    assert counters.answered == counters.sent == 24
    assert max(file.sent for file in counters.files) >= 2


@pytest.mark.parametrize("way", ["transport", "disconnect", "restart", "half-open", "close"])
async def test_a_line_is_lost_by_hand(way: Drop) -> None:
    async with platform(**HEARTBEAT if way == "half-open" else {}) as double, Participant(double) as client:
        await asyncio.to_thread(double.drop, way)
        await client.until("left")
        assert double.counters().drops == [way]
        async with Participant(double) as again:
            await again.say("session-reconnect")
            await again.until("session-reconnect-error")


async def test_an_abort_of_the_platform_is_told_again_where_the_line_was_dead() -> None:
    async with platform(interval=9, **HEARTBEAT) as double:
        async with Participant(double) as client:
            await client.say("session-start", START)
            await client.until("session-file-avaiable")
            await asyncio.to_thread(double.drop, "half-open")
            await asyncio.to_thread(double.abort, "maintenance")
            await client.until("left")
        async with Participant(double) as client:
            assert (await client.until("session-abort"))["sessionId"] == "1001"


async def test_what_is_against_the_protocol_is_counted() -> None:
    files = (PlatformFile(id="../../evil", content={"a": [1, "б"]}),)
    async with platform(PlatformFaults(refuse_repeats=True), files, ending="time") as double:
        async with Participant(double) as client:
            await client.say("session-start", {"type": "other"})
            file = await client.until("session-file-avaiable")
            assert file["fileId"] == "../../evil"
            await client.say("session-file-send", {"sessionId": 1001, "fileId": "../../evil", "content": []})
            await client.say("session-file-send", {"sessionId": "1001", "fileId": "none", "content": ""})
            await client.say("session-file-sent", {})
            await client.answer(file, "changed")
            assert (await client.until("session-file-send-error"))["message"] == "the file is answered already"
        counters = double.counters()
    assert len(counters.violations) == 7 - 1
    assert counters.files[0].sha256 == PlatformFile(id=1, content='{"a":[1,"б"]}').sha256
    assert (counters.files[0].answers, counters.files[0].repeats, counters.files[0].equal) == (1, 1, False)


async def test_what_is_never_answered_is_never_answered() -> None:
    faults = PlatformFaults(silent_start=True, silent_abort=True, connect_delay=0.05)
    async with platform(faults) as double, Participant(double) as client, Participant(double, query="&ping=ping"):
        await client.say("session-start", START)
        await client.say("session-cliend-abort", {"sessionId": "1"})
        await asyncio.to_thread(double.wait_until, lambda counters: bool(counters.aborts))
        assert client.heard == []
        assert double.counters().probes == 1


def test_as_a_process_it_is_asked_and_told_over_http() -> None:
    rules, faults = PlatformRules(count=1, tokens=("a", "b"), joins=False), PlatformFaults(drops=("close",))
    with PlatformProcess(rules=rules, faults=faults) as process:
        process.drop("restart")
        process.abort("because")
        assert process.wait_until(lambda counters: counters.drops == ["restart"]).files == []
        with pytest.raises(TimeoutError, match="0 of 0 files"):
            process.wait_closed(timeout=0.01)


def test_options_that_are_not_known_are_refused() -> None:
    with pytest.raises(InvalidInput, match="drop_every"):
        PlatformFaults.of({"drop_evry": 3})
    with pytest.raises(InvalidInput, match="dialect"):
        PlatformRules.of({"dialect": "1999"})


def test_an_object_is_kept_as_compact_json() -> None:
    assert PlatformFile(id=1, content={"a": "ё"}).saved == json.dumps(
        {"a": "ё"}, separators=(",", ":")
    ).encode().replace(rb"\u0451", "ё".encode())
