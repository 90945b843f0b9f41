"""A real SMTP server in a thread that keeps every mail as it came over the wire."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Received:
    """One mail to one recipient."""

    mail_from: str
    recipient: str
    raw: bytes
    at: float
    """monotonic seconds when its DATA was complete"""


@dataclass
class SmtpSink:
    """`refusals` maps a recipient to the reply that its RCPT gets, e.g. "550 5.1.1 no such user"; all others are accepted."""

    host: str = "127.0.0.1"
    port: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    hold_after: int | None = None
    """after so many mails DATA is answered only once `go_on` is set: a slow server, without a sleep"""
    go_on: threading.Event = field(default_factory=threading.Event)
    _received: list[Received] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """As KAIRAN_SMTP_URL takes it."""
        return f"smtp://{self.host}:{self.port}"

    @property
    def received(self) -> list[Received]:
        with self._changed:
            return list(self._received)

    def to(self, recipient: str) -> list[Received]:
        return [mail for mail in self.received if mail.recipient == recipient]

    def wait_for(self, count: int, timeout_s: float = 30) -> list[Received]:
        """All mails, once there are `count` of them; fails the test after timeout_s."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received) >= count, timeout_s):
                raise AssertionError(f"{len(self._received)} of {count} mails arrived within {timeout_s} s")
            return list(self._received)

    def clear(self) -> None:
        with self._changed:
            self._received.clear()

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if refusal := self.refusals.get(address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.hold_after is not None and len(self.received) >= self.hold_after:
            await asyncio.get_running_loop().run_in_executor(None, self.go_on.wait, 60)
        at = time.monotonic()
        raw = envelope.original_content or b""
        with self._changed:
            self._received += [Received(envelope.mail_from or "", recipient, raw, at) for recipient in envelope.rcpt_tos]
            self._changed.notify_all()
        return "250 2.0.0 OK"


@contextmanager
def running() -> Iterator[SmtpSink]:
    """aiosmtpd's own Controller cannot find out which free port it got, so the loop is run here."""
    sink = SmtpSink()
    loop = asyncio.new_event_loop()
    connections: list[SMTP] = []

    def connection() -> SMTP:
        connections.append(SMTP(sink, hostname="sink.test", loop=loop))
        return connections[-1]

    async def listen() -> asyncio.Server:
        return await loop.create_server(connection, sink.host, 0)

    thread = threading.Thread(target=loop.run_forever, name="smtp-sink", daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        sink.go_on.set()
        asyncio.run_coroutine_threadsafe(_close(server, connections), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _close(server: asyncio.Server, connections: list[SMTP]) -> None:
    """Leaves no task and no transport behind, even of clients still connected: their warnings would fail the suite."""
    server.close()
    for connection in connections:
        if isinstance(connection.transport, asyncio.Transport):
            connection.transport.abort()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
