"""SMTP that knows whether the final dot was written (RFC 5321), pipelined where the server offers it (RFC 2920).

aiosmtplib opens the connection (TCP, TLS, EHLO, AUTH); from then on our own protocol reads the replies, because aiosmtplib reports
a drop before 354 and one after the dot alike, and a blind retry after the second doubles the mail. It touches private names of
aiosmtplib 5.1.3, so that version is pinned and tests/delivery/test_smtp.py is the contract.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
)
from aiosmtplib.protocol import SMTPProtocol

from kairan.settings import SmtpAccount

# RFC 5321 4.5.3.2: the client waits at least this long for each reply, in seconds.
CONNECT_TIMEOUT_S = 30.0
ENVELOPE_TIMEOUT_S = 300.0
DOT_TIMEOUT_S = 600.0
REPLY_MAX = 65_536
REPLY_TEXT_MAX = 500
KNOWN_MAX = 16
STEPS = ("MAIL", "RCPT", "DATA")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said: the code and the text of all its lines, at most 500 characters."""

    code: int
    text: str


class RefusedReply(Exception):
    """The server answered this step with no. A fact about this delivery; the connection stays in step, unless the code is 421."""

    def __init__(self, step: str, reply: Reply) -> None:
        super().__init__(f"{step}: {reply.code} {reply.text}")
        self.step = step
        self.reply = reply


class ConnectionLost(Exception):
    """No reply came: dropped, timed out, or unreadable. A fact about this connection; it is closed and never used again."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class TooLate(Exception):
    """The time between gate and MAIL is over; nothing was written."""


class ProviderTrouble(Exception):
    """The connection could not be opened: connect, TLS or AUTH. The provider's matter, never a recipient's."""

    def __init__(self, why: str, *, refused_login: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.refused_login = refused_login


class ReplyProtocol(SMTPProtocol):
    """Queues replies, so that several commands can be on their way at once."""

    def start(self) -> None:
        self._replies: deque[Reply] = deque()
        self._partial = b""
        self._known: dict[bytes, Reply] = {}
        self._lines: list[str] = []
        self._need = 0
        self._waiter: asyncio.Future[None] | None = None
        self._broken: str | None = None
        self.deadline = float("inf")

    def data_received(self, data: bytes) -> None:
        buffer = self._partial + data if self._partial else data
        start = 0
        while (end := buffer.find(b"\n", start)) >= 0:
            self._line(buffer[start:end])
            start = end + 1
        self._partial = buffer[start:]
        if len(self._partial) > REPLY_MAX or len(self._lines) > 1_000:
            self._break("a reply without end")
        waiter = self._waiter
        if waiter is not None and len(self._replies) >= self._need and not waiter.done():
            waiter.set_result(None)

    def _line(self, line: bytes) -> None:
        known = self._known.get(line)
        if known is not None and not self._lines:
            self._replies.append(known)
            return
        code = line[:3]
        if not (code.isdigit() and code[:1] in b"2345" and line[3:4] in b" -\r"):
            self._break("an unreadable reply")
            return
        text = line[4:].rstrip(b"\r").decode("utf-8", "replace")
        if line[3:4] == b"-":
            self._lines.append(text)
            return
        whole = not self._lines
        if not whole:
            text = " ".join([*self._lines, text])
            self._lines.clear()
        reply = Reply(int(code), text[:REPLY_TEXT_MAX])
        self._replies.append(reply)
        if whole and len(self._known) < KNOWN_MAX:  # three of a mail's four replies are the same again and again
            self._known[line] = reply

    def eof_received(self) -> bool:
        self._break("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._break("the connection was lost")

    def expire(self, now: float) -> None:
        """Called every second or so by whoever owns the connections: one clock for all instead of a timer a reply."""
        if self._waiter is not None and now > self.deadline:
            self._break("no reply in time")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost(self._broken))

    async def replies(self, count: int, timeout_s: float) -> list[Reply]:
        """The next replies in order. Raises ConnectionLost; replies that came before the break are still given out."""
        if len(self._replies) < count:
            if self._broken:
                raise ConnectionLost(self._broken)
            self._need = count
            self.deadline = self._loop.time() + timeout_s
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return [self._replies.popleft() for _ in range(count)]

    def heard(self) -> list[Reply]:
        """The replies that came and that nobody has taken."""
        return list(self._replies)

    def in_step(self) -> bool:
        """Open, and nothing came that nobody asked for (a 421 at shutdown, a late reply)."""
        transport = self.transport
        return transport is not None and not (transport.is_closing() or self._broken or self._replies or self._partial)


class Connection(aiosmtplib.SMTP):
    """One SMTP session that carries mail after mail, one recipient each."""

    replies_from: ReplyProtocol
    pipelining: bool
    drops: int = 0
    """421s and drops before the dot in a row, also of the connections it replaces"""

    @classmethod
    async def open(cls, account: SmtpAccount, local_hostname: str | None = None) -> "Connection":
        """Raises ProviderTrouble."""
        self = cls(
            hostname=account.host,
            port=account.port,
            username=account.user,
            password=account.password,
            use_tls=account.security == "tls",
            start_tls=account.security == "starttls",
            timeout=CONNECT_TIMEOUT_S,
            local_hostname=local_hostname,
        )
        try:
            await self.connect()
            await self._ehlo_or_helo_if_needed()
        except SMTPAuthenticationError as error:
            self.close()
            raise ProviderTrouble(f"the server refused the login: {error.code} {error.message}", refused_login=True) from error
        except SMTPResponseException as error:
            self.close()
            raise ProviderTrouble(f"the server refused the connection: {error.code} {error.message}") from error
        except (SMTPException, OSError, ValueError) as error:
            self.close()
            raise ProviderTrouble(str(error) or type(error).__name__) from error
        self._adopt()
        return self

    def _adopt(self) -> None:
        old = self.protocol
        transport = cast("asyncio.Transport | None", self.transport)
        if old is None or transport is None or self.loop is None:
            raise ProviderTrouble("the server closed the connection at once")
        self.pipelining = self.supports_extension("pipelining")
        new = ReplyProtocol(loop=self.loop, connection_lost_callback=self._on_connection_lost)
        new.start()
        new.connection_made(transport)
        new._over_ssl = old._over_ssl
        transport.set_protocol(new)
        self.protocol = self.replies_from = new

    @property
    def usable(self) -> bool:
        return self.replies_from.in_step()

    async def transaction(self, sender: bytes, recipient: bytes, in_time: Callable[[], bool]) -> None:
        """MAIL, RCPT and DATA, up to the server's 354. `in_time` is asked as the last thing before the first write.

        Raises TooLate (nothing written), RefusedReply (in step, may be used again unless 421), ConnectionLost.
        """
        protocol = self.replies_from
        if not self.usable:
            raise ConnectionLost("the connection was closed")
        mail, rcpt = b"MAIL FROM:<%b>\r\n" % sender, b"RCPT TO:<%b>\r\n" % recipient
        if not in_time():
            raise TooLate
        try:
            if self.pipelining:
                protocol.write(mail + rcpt + b"DATA\r\n")
                answers = await protocol.replies(3, ENVELOPE_TIMEOUT_S)
            else:
                answers = await self._one_by_one(protocol, (mail, rcpt, b"DATA\r\n"))
        except ConnectionLost:
            self._raise_what_was_said(protocol)
            raise
        except SMTPException as error:
            raise ConnectionLost(str(error)) from error
        refused = next((pair for pair in zip(STEPS, answers, strict=False) if not _good(*pair)), None)
        if refused is None and protocol.in_step():
            return
        if refused is None or refused[1].code < 400:  # a reply that answers nothing we asked could pass for the verdict of the dot
            self.close()
            raise ConnectionLost("the replies are out of step")
        await self._leave(protocol, answers)
        raise RefusedReply(*refused)

    def _raise_what_was_said(self, protocol: ReplyProtocol) -> None:
        """A server may refuse and hang up before it answers the rest: its no is a verdict, not a lost connection to try again for ever."""
        refused = next((pair for pair in zip(STEPS, protocol.heard(), strict=False) if not _good(*pair)), None)
        if refused is not None and refused[1].code >= 400 and refused[1].code != 421:
            self.close()
            raise RefusedReply(*refused)

    async def _one_by_one(self, protocol: ReplyProtocol, commands: tuple[bytes, ...]) -> list[Reply]:
        answers: list[Reply] = []
        for step, command in zip(STEPS, commands, strict=True):
            protocol.write(command)
            answers += await protocol.replies(1, ENVELOPE_TIMEOUT_S)
            if not _good(step, answers[-1]):
                break
        return answers

    async def _leave(self, protocol: ReplyProtocol, answers: list[Reply]) -> None:
        """Back to the start of a transaction after a refusal, so that the next mail can go over this connection."""
        if any(reply.code == 421 for reply in answers):
            self.close()
            return
        try:
            # DATA was accepted although MAIL or RCPT was not: an empty message ends it, and no recipient gets it (RFC 2920 3.1).
            protocol.write(b".\r\n" if answers[-1].code == 354 else b"RSET\r\n")
            await protocol.replies(1, ENVELOPE_TIMEOUT_S)
        except (ConnectionLost, SMTPException):
            self.close()

    def write_message(self, message: bytes) -> None:
        """The message and its final dot: from here on it may have been delivered. Journal first. Raises ConnectionLost: nothing was sent.

        `message` is CRLF-clean, ends in CRLF and has no dot at column 0, so nothing is stuffed here. Both leave in one system call, which
        is a seventh of what a mail costs the sender (docs/decisions/0008).
        """
        transport = cast("asyncio.Transport | None", self.replies_from.transport)
        if transport is None or transport.is_closing():
            raise ConnectionLost("the connection was closed")
        transport.writelines((message, b".\r\n"))

    async def dot_reply(self) -> Reply:
        """The verdict on the message. Raises ConnectionLost: then nobody knows."""
        return (await self.replies_from.replies(1, DOT_TIMEOUT_S))[0]

    def abandon(self) -> None:
        """Closes without QUIT: after a timeout or a drop the replies may be out of step."""
        self.close()

    async def leave(self) -> None:
        """QUIT, whose answer changes nothing."""
        try:
            self.replies_from.write(b"QUIT\r\n")
            await asyncio.wait_for(self.replies_from.replies(1, 5.0), 5.0)
        except (ConnectionLost, SMTPException, TimeoutError):
            pass
        finally:
            self.close()


def _good(step: str, reply: Reply) -> bool:
    return reply.code == 354 if step == "DATA" else 200 <= reply.code < 300
