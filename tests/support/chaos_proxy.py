"""A TCP proxy between two of our processes whose line the test can spoil while it is in use: SMTP, PostgreSQL, Redis.

`proxy.latency_s`, `proxy.black_hole` (nothing comes through, nothing is closed), `proxy.refuses`, `proxy.bytes_max` (a connection is reset
after so many bytes to the server), `reset_all()` (RST on both sides of every connection), `half_close_all()` (EOF towards the client).
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PIECE = 65_536


@dataclass
class ChaosProxy:
    """What lies behind it, where it listens, and what it does to the line now."""

    target: tuple[str, int] | str
    """host and port, or the path of a unix socket"""
    port: int = 0
    host: str = "127.0.0.1"
    latency_s: float = 0.0
    black_hole: bool = False
    refuses: bool = False
    bytes_max: int | None = None
    connections: int = 0
    resets: int = 0
    _open: set["_Line"] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    def reset_all(self) -> None:
        self._in_loop(lambda line: line.reset())

    def half_close_all(self) -> None:
        self._in_loop(lambda line: line.half_close())

    def _in_loop(self, act: object) -> None:
        assert self._loop is not None

        async def do() -> None:
            for line in list(self._open):
                act(line)

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(5)


class _Line:
    """One connection through the proxy."""

    def __init__(self, proxy: ChaosProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.up: asyncio.StreamWriter | None = None
        self.passed = 0

    async def run(self) -> None:
        self.proxy.connections += 1
        self.proxy._open.add(self)
        try:
            if self.proxy.refuses:
                return self.reset()
            target = self.proxy.target
            opening = asyncio.open_unix_connection(target) if isinstance(target, str) else asyncio.open_connection(*target)
            down, self.up = await opening
            await asyncio.gather(self._pump(self.reader, self.up, counted=True), self._pump(down, self.writer, counted=False))
        except (OSError, asyncio.IncompleteReadError):
            self.reset()
        finally:
            self.proxy._open.discard(self)
            for writer in (self.writer, self.up):
                if writer is not None:
                    writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        while piece := await reader.read(_PIECE):
            if self.proxy.latency_s:
                await asyncio.sleep(self.proxy.latency_s)
            while self.proxy.black_hole:
                await asyncio.sleep(0.02)
            if counted and self.proxy.bytes_max is not None:
                self.passed += len(piece)
                if self.passed > self.proxy.bytes_max:
                    writer.write(piece[: max(len(piece) - (self.passed - self.proxy.bytes_max), 0)])
                    await writer.drain()
                    return self.reset()
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()

    def reset(self) -> None:
        self.proxy.resets += 1
        for writer in (self.writer, self.up):
            if writer is None:
                continue
            given = writer.get_extra_info("socket")
            if given is not None and given.family == socket.AF_INET:
                given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self.writer.write_eof()


@contextmanager
def to(target: tuple[str, int] | str) -> Iterator[ChaosProxy]:
    """A proxy in front of `target`, in a thread of this process."""
    proxy = ChaosProxy(target)
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    proxy._loop = loop

    async def serve() -> None:
        server = await asyncio.start_server(lambda r, w: _Line(proxy, r, w).run(), proxy.host, 0)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    task = loop.create_task(serve())

    def run() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        proxy.black_hole = False
        proxy.reset_all()
        loop.call_soon_threadsafe(task.cancel)
        thread.join(5)
