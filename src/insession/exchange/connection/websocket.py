"""The standard connection: python-socketio's client for each line, and supervision of its own over lines."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
from typing import Any, Final, Self

from insession.exchange.errors import ConnectFailed, ConnectTimedOut, NotConnectedError

from .connection import ConnectionAbstract, Handler
from .line import Line, permanent
from .socket import Opening
from .target import Target

logger: Final = logging.getLogger("insession.exchange")


class Websocket(ConnectionAbstract):
    """A connection over websocket.

    The library's own reconnecting is off, because it does not come back after every kind of end. Each line has a
    client of its own; when one is gone, for whatever reason, the next is dialled after a random part of a delay that
    doubles up to ``target.longest_retry``, until `disconnect` or `halt`.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._handlers: dict[str, Handler] = {}
        self._happened: asyncio.Queue[tuple[str, tuple[Any, ...]]] = asyncio.Queue()
        self._line: Line | None = None
        self._teller: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._halted = False
        self._closed = asyncio.Event()
        self.lines: int = 0
        """So many lines have stood."""

    def is_connected(self) -> bool:
        """See `ConnectionAbstract.is_connected`."""
        return self._line is not None and self._line.up

    @property
    def opening(self) -> Opening | None:
        """What the server of the present line said of itself; None where there is no line."""
        return None if self._line is None else self._line.opening

    def on(self, event: str, fn: Handler) -> Self:
        """See `Connect.on`. Besides: ``retry`` with a reason and a delay, before each new attempt.

        And ``dial``, which is waited for right before one: the line of who is not to come back is not made.
        """
        self._handlers[event] = fn
        return self

    def halt(self) -> None:
        """See `ConnectionAbstract.halt`."""
        self._halted = True
        if self._line is not None:
            self._line.give_up()

    async def connect(self) -> Self:
        """See `ConnectionAbstract.connect`. What another attempt would not mend is raised at once."""
        if not self._target.tls_verify:
            logger.warning(
                "the certificate of %s is not verified (tls_verify is off): whoever stands between reads the token "
                "and the files",
                self._target.shown,
            )
        self._teller = asyncio.create_task(self._tell_all(), name="insession exchange events")
        try:
            line = await self._first()
        except BaseException:
            await self.disconnect()
            raise
        self._keeper = asyncio.create_task(self._keep(line), name="insession exchange line")
        return self

    async def _first(self) -> Line:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._target.connect
        attempt, last = 0, None
        while (left := until - loop.time()) > 0 and self._wanted():
            try:
                return await self._dial(left)
            except ConnectFailed as error:
                if permanent(error):
                    raise
                last = str(error)
            await asyncio.sleep(min(self._delay(attempt), max(0.0, until - loop.time())))
            attempt += 1
        if not self._wanted():
            raise ConnectFailed("it was stopped before there was a connection")
        raise ConnectTimedOut(self._target.connect, last)

    async def _dial(self, seconds: float) -> Line:
        self._line = line = Line(self._target, self._hear)
        try:
            await line.open(seconds)
        except ConnectFailed as error:
            if line.stood:
                self._hear("disconnect", (str(error),))
            raise
        self.lines += 1
        return line

    async def _keep(self, line: Line) -> None:
        while True:
            reason = await line.ended()
            self._hear("disconnect", (reason,))
            await line.drop()
            again = await self._again(reason)
            if again is None:
                return
            line = again

    async def _again(self, reason: str) -> Line | None:
        """The next line, after as many attempts as it takes."""
        attempt = 0
        while self._wanted():
            delay = self._delay(attempt)
            self._hear("retry", (reason, delay))
            await asyncio.sleep(delay)
            if self._wanted() and (before := self._handlers.get("dial")) is not None:
                await _called(before, "dial", ())
            if not self._wanted():
                break
            try:
                return await self._dial(self._target.connect)
            except ConnectFailed as error:
                reason = str(error)
            attempt += 1
        return None

    def _wanted(self) -> bool:
        return not self._halted

    def _delay(self, attempt: int) -> float:
        """Full jitter: a random part of the doubled delay, so that many clients do not come back at once."""
        longest = min(self._target.longest_retry, self._target.first_retry * 2 ** min(attempt, 16))
        return random.uniform(0.0, longest)  # noqa: S311 - jitter, no secret

    def _hear(self, event: str, payload: tuple[Any, ...]) -> None:
        self._happened.put_nowait((event, payload))

    async def _tell_all(self) -> None:
        while True:
            event, payload = await self._happened.get()
            handler = self._handlers.get(event)
            if handler is None and "*" in self._handlers and event not in ("connect", "disconnect", "retry"):
                handler, payload = self._handlers["*"], (event, *payload)
            if handler is not None:
                await _called(handler, event, payload)
            self._happened.task_done()

    async def disconnect(self) -> Self:
        """See `ConnectionAbstract.disconnect`. Not to be called by a handler: it waits for them."""
        self._halted = True
        await _stopped(self._keeper)
        line, self._line = self._line, None
        if line is not None:
            await line.close()
        if self._teller is not None and not self._teller.done():
            # What came while the line was closed, a verdict perhaps, is still heard.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._happened.join(), self._target.flush)
        await _stopped(self._teller)
        self._closed.set()
        return self

    async def wait(self) -> Self:
        """See `ConnectionAbstract.wait`."""
        await self._closed.wait()
        return self

    async def emit(self, event: str, data: object = None, callback: Handler | None = None) -> Self:
        """See `Connect.emit`."""
        if self._line is None:
            raise NotConnectedError
        await self._line.emit(event, data, None if callback is None else _coroutine(callback))
        return self


async def _called(handler: Handler, event: str, payload: tuple[Any, ...]) -> None:
    try:
        answer = handler(*payload)
        if inspect.isawaitable(answer):
            await answer
    except Exception:
        logger.exception("the handler of %r failed", event[:100])


async def _stopped(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def _coroutine(fn: Handler) -> Handler:
    """A real coroutine function of any callable: the library awaits no others."""

    async def called(*payload: object) -> None:
        await _called(fn, "acknowledgement", payload)

    return called
