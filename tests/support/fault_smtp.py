"""An SMTP server whose behaviour each recipient's address chooses: `drop-dot.17@t.example` is dropped at the dot.

Words: `550-rcpt`, `450-rcpt`, `550-mail`, `451-data`, `554-dot`, `451-dot`, `421-mail`, `421-dot`, `drop-mail`, `drop-data`, `drop-body`,
`drop-dot` (before the reply), `reply-drop` (250, then gone), `partial-dot` (half a reply, then gone), `garbage-dot`, `long-dot` (a reply
without end), `mute-dot` (no reply at all). What it accepted stands in `ledger`, noted before the answer is written.
"""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_RCPT = re.compile(rb"RCPT TO:<([^>]*)>", re.I)


@dataclass
class FaultSmtp:
    """`pipelining` is what EHLO offers. `mails`: recipients whose MAIL/RCPT was seen; `ledger`: accepted ones, in order."""

    pipelining: bool = True
    port: int = 0
    mails: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    sessions: int = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?connections=4"


@contextmanager
def running(*, pipelining: bool = True) -> Iterator[FaultSmtp]:
    server = FaultSmtp(pipelining)
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        listening = await asyncio.start_server(lambda r, w: _session(server, r, w), "127.0.0.1", 0, limit=1 << 22)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            listening.close()

    task = loop.create_task(serve())

    def run() -> None:
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

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(5)


async def _session(server: FaultSmtp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    server.sessions += 1
    try:
        await _talk(server, reader, writer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _talk(server: FaultSmtp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def say(text: str) -> None:
        writer.write(text.encode() + b"\r\n")

    say("220 fault ESMTP")
    recipient, word, refused = "", "", False
    pending_mail = False
    while line := await reader.readline():
        verb = line[:4].upper()
        if verb == b"EHLO":
            say("250-fault")
            say("250-PIPELINING" if server.pipelining else "250-8BITMIME")
            say("250 ENHANCEDSTATUSCODES")
        elif verb == b"MAIL":
            pending_mail, refused = True, False
            if not server.pipelining:
                say("250 2.1.0 ok")
                pending_mail = False
        elif verb == b"RCPT":
            found = _RCPT.match(line)
            recipient = found.group(1).decode() if found else ""
            word = recipient.split(".")[0].split("@")[0]
            server.mails.append(recipient)
            if word == "drop-mail":
                return
            if pending_mail:
                if word in ("550-mail", "421-mail"):
                    say(f"{word[:3]} 5.7.1 no" if word[0] == "5" else "421 4.3.2 shutting down")
                    refused = True
                    if word == "421-mail":
                        return
                else:
                    say("250 2.1.0 ok")
                pending_mail = False
            if word in ("550-rcpt", "450-rcpt"):
                say("550 5.1.1 no such user" if word[0] == "5" else "450 4.2.1 later")
                refused = True
            else:
                say("503 5.5.1 no sender" if refused else "250 2.1.5 ok")
        elif verb == b"DATA":
            if word == "drop-data":
                return
            if refused or word == "451-data":
                say("503 5.5.1 no" if refused else "451 4.3.0 not now")
                continue
            say("354 go on")
            if word == "drop-body":
                await reader.read(100)
                return
            body = await reader.readuntil(b"\r\n.\r\n")
            if await _dot(server, reader, writer, word, recipient, body):
                return
        elif verb == b"QUIT":
            say("221 bye")
            return
        else:
            say("250 ok")


async def _dot(
    server: FaultSmtp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: str, recipient: str, body: bytes
) -> bool:
    """True: the connection ends here."""
    if word in ("554-dot", "451-dot", "421-dot"):
        writer.write({"5": b"554 5.7.1 refused\r\n", "4": b"451 4.3.0 later\r\n"}[word[0]] if word != "421-dot" else b"421 4.3.2 bye\r\n")
        return word == "421-dot"
    server.ledger.append(recipient)
    server.bodies[recipient] = body
    if word == "drop-dot":
        return True
    if word == "partial-dot":
        writer.write(b"25")
        return True
    if word == "garbage-dot":
        writer.write(b"okay, thanks\r\n")
        return False
    if word == "long-dot":
        writer.write(b"250-" + b"x" * 200_000)
        await reader.read(1)
        return True
    writer.write(b"250 2.0.0 ok\r\n")
    return word == "reply-drop"
