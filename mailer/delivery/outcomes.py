"""What an attempt came to, and what follows for the delivery (DESIGN.md "Outcomes"; RFC 5321 4.2, RFC 3463)."""

import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from kairan.models.deliveries import State
from mailer.delivery.smtp import RefusedReply, Reply

FIRST_RETRY_S = 15 * 60
MAX_RETRY_S = 4 * 3600
EXPIRES_AFTER = timedelta(hours=48)
TRIES_MAX = 15
"""15 min, 30, 60, 120 and then every 4 hours: the 15th try is about 48 hours after the first"""
REQUEUE_S = 30
# A zero byte in a reply is refused by PostgreSQL: the result could never be recorded, nor the lane that holds it be recovered.
_NO_CONTROLS = {code: " " for code in (*range(32), 127)}
_ENHANCED = re.compile(r"^([245])\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state that follows and what the server said. `step` is where: MAIL, RCPT, DATA or DOT."""

    state: State
    code: int | None = None
    text: str | None = None
    step: str | None = None
    reason: str | None = None
    counts: bool = True
    """False: the attempt was not the recipient's fault and is not counted as a try"""

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code `5.1.1`, or None."""
        found = _ENHANCED.match(self.text or "")
        return found.group(0) if found else None

    @property
    def is_bad_address(self) -> bool:
        """The mailbox or domain does not exist (5.1.x, said to RCPT or the dot): the address is to be suppressed."""
        return self.state is State.REJECTED and self.step != "MAIL" and (self.enhanced or "").startswith("5.1.")

    @property
    def is_policy(self) -> bool:
        """Refused for what we are, not for who it was to (5.7.x)."""
        return (self.enhanced or "").startswith("5.7.")

    @property
    def blames_sender(self) -> bool:
        return self.state is State.REJECTED and self.step == "MAIL"


ACCEPTED_250 = Outcome(State.ACCEPTED, 250)


def accepted(reply: Reply) -> Outcome:
    return ACCEPTED_250 if reply.code == 250 else Outcome(State.ACCEPTED, reply.code)


def of_reply(reply: Reply, step: str = "DOT") -> Outcome:
    """A verdict: 2xx accepted, 4xx later, 5xx no. 421 is the connection's matter and counts as no try."""
    if reply.code == 421:
        return requeued(f"421 {reply.text}")
    if 200 <= reply.code < 300:
        return accepted(reply)
    if 400 <= reply.code < 500:
        return Outcome(State.DEFERRED, reply.code, printable(reply.text), step)
    if 500 <= reply.code < 600:
        return Outcome(State.REJECTED, reply.code, printable(reply.text), step)
    return uncertain(f"{reply.code} {reply.text}")


def of_refusal(refusal: RefusedReply) -> Outcome:
    """What was refused before the dot. A 2xx or 3xx that stops a step (250 to DATA) is no verdict: the replies are out of step."""
    if refusal.reply.code < 400:
        return requeued(f"{refusal.reply.code} to {refusal.step}: {refusal.reply.text}")
    return of_reply(refusal.reply, refusal.step)


def requeued(why: str) -> Outcome:
    return Outcome(State.QUEUED, text=printable(why), counts=False)


def uncertain(why: str) -> Outcome:
    return Outcome(State.UNCERTAIN, text=printable(why))


def printable(text: str) -> str:
    """A server's words without control characters."""
    return text.translate(_NO_CONTROLS)


RELEASED = Outcome(State.QUEUED, counts=False)
"""Gated and not begun: due again at once."""


def failed(reason: str) -> Outcome:
    return Outcome(State.FAILED, reason=reason)


def due_again(outcome: Outcome, tries: int, now: datetime) -> datetime:
    """When a deferred or requeued delivery may be gated again; `tries` counts this one. Jitter of ±20 % spreads the herd."""
    seconds = REQUEUE_S if not outcome.counts else min(FIRST_RETRY_S * 2 ** (tries - 1), MAX_RETRY_S)
    return now + timedelta(seconds=seconds * random.uniform(0.8, 1.2))
