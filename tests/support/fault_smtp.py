"""An SMTP server whose behaviour each recipient's address chooses, at every step (RFC 5321): `drop-dot.17@t.example` drops at the dot.

A word is WHAT-STEP, with `-x2` behind it for "only the first two times". STEP: mail, rcpt, data, body, dot. WHAT: a code (`450-rcpt`,
`421-dot`, also `250-data`: out of step), drop, rst, garbage, partial (half a reply, then gone), long (a reply without end), huge (64 KiB
of reply), slow (a reply byte by byte), nul (a refusal with a zero byte in it), bye (550, then gone), mute (no reply), late (a reply
after `late_s`); at the dot also lose (gone without having accepted), twice (two replies). `reply-drop`: 250, then gone. `drop-quit`.
`session_words` does the same to sessions by their number, at step banner or ehlo; `bye-idle` says 421 as soon as nobody asks. As a
process it reads them, as `drop-banner:3` (every third session), from the file LEDGER.sessions for each session anew.

What was asked and accepted stands in `ledger_path`, fsynced before the answer is written, so that any process can read it after any
death: `M moment recipient` at RCPT, `D moment recipient message-id edition` when it is accepted (the N of
a subject with `edition N`), `X moment recipient` for a connection dropped.
As a process: python -m tests.support.fault_smtp PORT LEDGER [--plain]; it prints its port.
"""

import argparse
import asyncio
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import dies_with_parent

_RCPT = re.compile(rb"RCPT TO:<([^>]*)>", re.I)
_WORD = re.compile(r"^([a-z0-9]+)-([a-z]+)(?:-x(\d+))?$")
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.I | re.M)
_EDITION = re.compile(rb"^Subject:.*?edition[ _](\d+)", re.I | re.M)
_TEXTS = {"421": "4.3.2 shutting down", "450": "4.2.1 later", "451": "4.3.0 not now", "550": "5.1.1 no such user", "552": "5.2.2 full"}
_FINE = {"mail": "250 2.1.0 ok", "rcpt": "250 2.1.5 ok", "data": "354 go on", "dot": "250 2.0.0 ok"}
_REFUSED = "503 5.5.1 bad sequence"


@dataclass
class FaultSmtp:
    """`pipelining` is what EHLO offers. `mails`: recipients whose RCPT was seen; `ledger`: accepted ones, in order."""

    pipelining: bool = True
    ledger_path: Path | None = None
    port: int = 0
    host: str = "127.0.0.1"
    late_s: float = 1.0
    session_words: Callable[[int], str | None] = lambda _number: None
    mails: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    sessions: int = 0
    dropped: int = 0
    _seen: Counter[str] = field(default_factory=Counter)
    _handle: int = -1

    @property
    def url(self) -> str:
        return f"smtp://{self.host}:{self.port}?connections=4"

    def note(self, kind: str, recipient: str, detail: str = "") -> None:
        if self.ledger_path is None:
            return
        if self._handle < 0:
            self._handle = os.open(self.ledger_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        os.write(self._handle, f"{kind} {time.monotonic_ns()} {recipient} {detail}".rstrip().encode() + b"\n")
        os.fsync(self._handle)

    def choice(self, recipient: str) -> tuple[str, str]:
        """What this address asks for, and at which step; ("", "") for nothing."""
        found = _WORD.match(recipient.split("@")[0].split(".")[0])
        if found is None or (found[3] and self._seen[recipient] > int(found[3])):
            return "", ""
        return found[1], found[2]


class _Gone(Exception):
    """This connection ends here."""


class _Session:
    """One connection."""

    def __init__(self, server: FaultSmtp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        server.sessions += 1
        self.word = _WORD.match(server.session_words(server.sessions) or "")
        self.what, self.step, self.recipient = "", "", ""
        self.pipelined = self.refused = False

    async def run(self) -> None:
        try:
            await self._greet()
            while line := await self.reader.readline():
                await self._command(line)
        except _Gone:
            self.server.dropped += 1
            self.server.note("X", self.recipient or "-")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.writer.close()

    def say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")

    async def _greet(self) -> None:
        await self._answer("banner", "220 fault ESMTP", *(self.word.groups()[:2] if self.word else ("", "")))

    async def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            extension = "PIPELINING" if self.server.pipelining else "8BITMIME"
            hello = f"250-fault\r\n250-{extension}\r\n250 ENHANCEDSTATUSCODES"
            await self._answer("ehlo", hello, *(self.word.groups()[:2] if self.word else ("", "")))
            self.pipelined = self.server.pipelining and not self.refused
            if self.word and self.word[2] == "idle":
                self.say("421 4.3.2 too many idle sessions")
                raise _Gone
        elif verb == b"MAIL":
            self.what, self.step, self.refused = "", "", False
            # Whom it is for decides what MAIL is answered: with pipelining that is known before anything has to be said.
            self.owed = self.pipelined
            if not self.owed:
                self.say(_FINE["mail"])
        elif verb == b"RCPT":
            await self._rcpt(line)
        elif verb == b"DATA":
            await self._data()
        elif verb == b"QUIT":
            if self.what == "drop" and self.step == "quit":
                raise _Gone
            self.say("221 bye")
        else:
            self.say("250 ok")

    async def _rcpt(self, line: bytes) -> None:
        found = _RCPT.match(line)
        self.recipient = found.group(1).decode() if found else ""
        self.server.mails.append(self.recipient)
        self.server._seen[self.recipient] += 1
        self.server.note("M", self.recipient)
        self.what, self.step = self.server.choice(self.recipient)
        if self.owed:
            await self._step("mail")
        if self.refused:
            self.say(_REFUSED)
        else:
            await self._step("rcpt")

    async def _data(self) -> None:
        if self.refused:
            self.say(_REFUSED)
            return
        await self._step("data")
        if self.refused:
            return
        if self.step == "body":
            await self.reader.read(100)
            await self._answer("body", "", self.what, "body")
        body = await self.reader.readuntil(b"\r\n.\r\n")
        takes = not (self.step == "dot" and (self.what.isdigit() or self.what in ("lose", "nul")))
        if takes:
            self.server.ledger.append(self.recipient)
            self.server.bodies[self.recipient] = body
            found = _MESSAGE_ID.search(body)
            edition = _EDITION.search(body)
            detail = f"{found.group(1).decode() if found else '-'} {edition.group(1).decode() if edition else '0'}"
            self.server.note("D", self.recipient, detail)
        await self._step("dot")
        if (self.what, self.step) == ("reply", "drop"):
            await self.writer.drain()
            raise _Gone
        if (self.what, self.step) != ("drop", "quit"):
            self.what, self.step = "", ""

    async def _step(self, name: str) -> None:
        what = self.what if self.step == name else ""
        await self._answer(name, _FINE[name], what, name)

    async def _answer(self, name: str, fine: str, what: str, at: str) -> None:
        """The reply of one step, right or wrong; raises _Gone where the connection ends with it."""
        if at != name:
            what = ""
        if what in ("drop", "lose"):
            raise _Gone
        if what == "rst":
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            raise _Gone
        if what == "partial":
            self.writer.write(b"25")
            raise _Gone
        if what == "mute":
            await self.reader.read()
            raise _Gone
        if what == "long":
            self.writer.write(b"250-" + b"x" * 200_000)
            await self.reader.read(1)
            raise _Gone
        await self._odd(fine, what)

    async def _odd(self, fine: str, what: str) -> None:
        if what == "garbage":
            self.say("okay, thanks")
        elif what == "huge":
            self.say("\r\n".join(["250-" + "y" * 900] * 70 + [fine]))
        elif what == "slow":
            for byte in (fine + "\r\n").encode():
                self.writer.write(bytes([byte]))
                await asyncio.sleep(0.002)
        elif what == "late":
            await asyncio.sleep(self.server.late_s)
            self.say(fine)
        elif what == "bye":
            self.say("550 5.1.1 no such user")
            await self.writer.drain()
            raise _Gone
        elif what == "nul":
            self.refused = True
            self.say("554 5.0.0 no\0such\x01thing")
        elif what == "twice":
            self.writer.write(f"{fine}\r\n{fine}\r\n".encode())
        elif what.isdigit():
            self.refused = not fine.startswith(what)
            self.say(f"{what} {'5.7.1 no' if (what, self.step) in (('550', 'mail'), ('554', 'dot')) else _TEXTS.get(what, 'so be it')}")
            if what == "421":
                await self.writer.drain()
                raise _Gone
        elif fine:
            self.say(fine)


# ---- running it ----


@contextmanager
def running(*, pipelining: bool = True, ledger: Path | None = None) -> Iterator[FaultSmtp]:
    """In a thread of this process."""
    server = FaultSmtp(pipelining, ledger)
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_serve(server, ready.set))
    thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(5)
        if server._handle >= 0:
            os.close(server._handle)


async def _serve(server: FaultSmtp, ready: Callable[[], None]) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Session(server, reader, writer).run()

    listening = await asyncio.start_server(take, server.host, server.port, limit=1 << 22)
    server.port = listening.sockets[0].getsockname()[1]
    ready()
    try:
        await asyncio.Event().wait()
    finally:
        listening.close()


def _run(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass
    finally:
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


@dataclass(frozen=True)
class Process:
    """The server as a process of its own: where it is and what it has written down."""

    port: int
    ledger_path: Path
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"smtp://{self.host}:{self.port}?connections=4"


def sessions_file(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".sessions")


@contextmanager
def as_process(ledger: Path, *options: str, host: str = "127.0.0.1") -> Iterator[Process]:
    command = [sys.executable, "-m", "tests.support.fault_smtp", "0", str(ledger), "--host", host, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=dies_with_parent(signal.SIGKILL))
    assert process.stdout is not None
    try:
        yield Process(int(process.stdout.readline()), ledger, host)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def sessions_from(path: Path) -> Callable[[int], str | None]:
    """What the file says now: words with how manieth session each is for."""

    def choose(number: int) -> str | None:
        if not path.exists():
            return None
        rules = [(word, int(period)) for word, _, period in (given.partition(":") for given in path.read_text("ascii").split())]
        return next((word for word, period in rules if number % period == 0), None)

    return choose


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--plain", action="store_true")
    given = parser.parse_args()
    given.ledger.touch()
    server = FaultSmtp(not given.plain, given.ledger, given.port, given.host, session_words=sessions_from(sessions_file(given.ledger)))
    asyncio.run(_serve(server, lambda: print(server.port, flush=True)))


if __name__ == "__main__":
    _main()
