"""An SMTP server that accepts everything and keeps it, in a tenth of aiosmtpd's time: for thousands of mails in the quick suite."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kept:
    """One mail to one recipient, its dots as they came over the wire. `began`: monotonic seconds of its RCPT."""

    recipient: str
    began: float
    raw: bytes


@dataclass
class KeepingSmtp:
    """`each_s`: how long it takes over a mail, so that a test can reach into a sending on the fastest machine."""

    each_s: float = 0.0
    port: int = 0
    received: list[Kept] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?connections=20"


class _Session(asyncio.Protocol):
    """Enough SMTP to accept what our own sender sends, pipelined."""

    def __init__(self, server: KeepingSmtp) -> None:
        self._server = server
        self._buffer, self._in_data = b"", False
        self._recipient, self._began = "", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 keeping ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n")) >= 0:
            taken, self._buffer = self._buffer[:end], self._buffer[end + (5 if self._in_data else 2) :]
            if self._in_data:
                self._message(taken)
            else:
                self._transport.write(self._command(taken))

    def _message(self, raw: bytes) -> None:
        self._in_data = False
        self._server.received.append(Kept(self._recipient, self._began, raw.removeprefix(b"\r\n")))
        asyncio.get_running_loop().call_later(self._server.each_s, self._transport.write, b"250 2.0.0 ok\r\n")

    def _command(self, line: bytes) -> bytes:
        word = line[:4].upper()
        if word == b"EHLO":
            return b"250-keeping\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        if word == b"RCPT":
            self._recipient, self._began = line[line.find(b"<") + 1 : line.find(b">")].decode(), time.monotonic()
        if word == b"DATA":
            self._in_data, self._buffer = True, b"\r\n" + self._buffer  # so that a mail without a line is found too
            return b"354 go on\r\n"
        return b"221 bye\r\n" if word == b"QUIT" else b"250 2.0.0 ok\r\n"


@contextmanager
def running(each_s: float = 0.0) -> Iterator[KeepingSmtp]:
    server, loop = KeepingSmtp(each_s), asyncio.new_event_loop()
    listening = loop.run_until_complete(loop.create_server(lambda: _Session(server), "127.0.0.1", 0))
    server.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="keeping-smtp", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(listening.close)
        loop.call_soon_threadsafe(lambda: loop.call_soon(loop.stop))
        thread.join(10)
        loop.close()
