"""The SMTP sink of the benchmarks: our C one where a compiler is (17 µs a message), else one in Python, and the output names it."""

import asyncio
import mmap
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kairan import resources
from mailer.ops.supervision import die_with_parent

_COUNTS = struct.Struct("<QQQQ")


@dataclass
class Sink:
    """A running sink; `accepted()` reads its counter without asking it."""

    port: int
    name: str
    _counts: mmap.mmap

    def accepted(self) -> int:
        return int(_COUNTS.unpack_from(self._counts)[0])

    def bytes(self) -> int:
        return int(_COUNTS.unpack_from(self._counts)[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, ledger: Path | None = None, *, each_us: int = 0) -> Iterator[Sink]:
    """A sink on loopback that accepts everything; with `ledger` it notes each RCPT and each accepted message there.

    `each_us`: microseconds it takes over each message, so that a test can reach into a sending on the fastest machine.
    """
    port, counts = free_port(), folder / "counts"
    counts.write_bytes(b"\0" * 4096)
    name, argv = _program(folder)
    process = subprocess.Popen(
        [*argv, str(port), "-c", str(counts), "-d", str(each_us), *(["-l", str(ledger)] if ledger else [])],
        preexec_fn=die_with_parent,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(port, process)
        with open(counts, "r+b") as file:
            yield Sink(port, name, mmap.mmap(file.fileno(), 4096))
    finally:
        process.terminate()
        process.wait()


def _program(folder: Path) -> tuple[str, list[str]]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler:
        built = folder / "smtpledger"
        source = resources.path("mailer/bench/smtpledger.c")
        if subprocess.run([compiler, "-O2", "-o", str(built), str(source)], check=False, capture_output=True).returncode == 0:
            return "smtpledger (C)", [str(built)]
    return "python sink (slower than the C one: no compiler here)", [sys.executable, "-m", "mailer.bench.sink"]


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise RuntimeError("the SMTP sink did not start")


class _Session(asyncio.Protocol):
    """Enough SMTP to accept what our own sender sends; counts into the shared page, notes into the ledger."""

    def __init__(self, counts: mmap.mmap, ledger: int, each_s: float) -> None:
        self._counts, self._ledger, self._each_s = counts, ledger, each_s
        self._buffer, self._in_data, self._recipient = b"", False, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n.\r\n") if self._in_data else self._buffer.find(b"\r\n")
            if end < 0:
                return
            taken, self._buffer = self._buffer[:end], self._buffer[end + (5 if self._in_data else 2) :]
            self._message(len(taken)) if self._in_data else self._command(taken)

    def _message(self, size: int) -> None:
        self._in_data = False
        time.sleep(self._each_s)
        accepted, seen, *rest = _COUNTS.unpack_from(self._counts)
        _COUNTS.pack_into(self._counts, 0, accepted + 1, seen + size, *rest)
        self._note(b"D")
        self._transport.write(b"250 2.0.0 Ok\r\n")

    def _note(self, what: bytes) -> None:
        if self._ledger >= 0:
            os.write(self._ledger, b"%b %d %b\n" % (what, time.monotonic_ns(), self._recipient))

    def _command(self, line: bytes) -> None:
        word = line[:4].upper()
        if word == b"EHLO":
            self._transport.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        elif word == b"DATA":
            self._in_data = True
            self._buffer = b"\r\n" + self._buffer
            self._transport.write(b"354 go on\r\n")
        elif word == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            if word == b"RCPT":
                self._recipient = line[line.find(b"<") + 1 : line.find(b">")]
                self._note(b"M")
            self._transport.write(b"250 ok\r\n")


async def _serve(port: int, counts: mmap.mmap, ledger: int, each_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Session(counts, ledger, each_s), "127.0.0.1", port)
    await server.serve_forever()


def _main(arguments: list[str]) -> None:
    port, options = int(arguments[0]), dict(zip(arguments[1::2], arguments[2::2], strict=True))
    ledger = os.open(options["-l"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if "-l" in options else -1
    with open(options["-c"], "r+b") as file:
        asyncio.run(_serve(port, mmap.mmap(file.fileno(), 4096), ledger, int(options.get("-d", 0)) / 1e6))


if __name__ == "__main__":
    _main(sys.argv[1:])
