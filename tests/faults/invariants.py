"""The promises I1–I7, read from the server's ledger against the rows: what a sending has to answer for after any fault.

I1 nobody twice, I2 every recipient in one state and the sums equal, I3 accepted is what the server accepted, I4 no MAIL after the answer to
a no, I5 uncertain within its bound, I6 the campaign ended without a hand, I7 counters, chunks, lanes and journals say the same.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, Lane, State
from kairan.runtime import Runtime
from mailer.delivery import journal

REPORT = "FAULTS_REPORT"
"""environment: the file that `make faults` collects its table from"""
_OVER = (CampaignStatus.SENT, CampaignStatus.CANCELLED)
_OPEN = {State.QUEUED, State.SENDING, State.DEFERRED}


class Line(NamedTuple):
    """One line of the ledger: `M` asked, `D` accepted, `X` dropped; the moment is CLOCK_MONOTONIC in nanoseconds."""

    kind: str
    moment: int
    recipient: str
    message_id: str
    edition: int
    """the N of a subject with `edition N`"""


@dataclass
class Tally:
    """What became of one campaign, for the table of docs/reliability.md."""

    recipients: int = 0
    doubled: int = 0
    lost: int = 0
    uncertain: int = 0
    bound: int = 0
    after_a_no: int = 0
    drops: int = 0
    kills: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, given.name) + getattr(other, given.name) for given in fields(self)))


def read(ledger: Path, since: int = 0) -> list[Line]:
    """The ledger's whole lines from the byte `since` on: a server that is killed may leave half a line, for which nobody got an answer."""
    with ledger.open("rb") as file:
        file.seek(since)
        text = file.read().decode("ascii")
    fields_of = [line.split(" ") for line in text[: text.rfind("\n") + 1].splitlines()]
    return [
        Line(kind, int(moment), recipient, rest[0] if rest else "-", int(rest[1]) if len(rest) > 1 else 0)
        for kind, moment, recipient, *rest in fields_of
    ]


def check(
    ground: Runtime,
    campaign_id: int,
    lines: list[Line],
    *,
    bound: int,
    noes: Mapping[str, int] | None = None,
    kills: int = 0,
    ended: bool = True,
    resent: int = 0,
) -> Tally:
    """Asserts I1–I7 for one campaign. `bound`: how many may be uncertain. `noes`: address → when its no was answered. `ended`: I6 and I7
    too. `resent`: how many a person has sent again."""
    with ground.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
        rows = session.execute(
            select(Delivery.number, Delivery.state, Member.email)
            .join(Member, Member.id == Delivery.member_id)
            .where(Delivery.campaign_id == campaign_id)
        ).all()
        numbers = {ground.secrets.tokens.message_id(campaign_id, row.number).decode(): row for row in rows}
        mine = [(numbers[key], line) for line in lines if line.kind == "D" and (key := _local_part(line.message_id)) in numbers]
        tally = _tally(rows, mine, lines, noes or {}, bound, kills, ended)
        copies = Counter(row.number for row, _ in mine)
        told = {row.number for row in rows if row.state == State.ACCEPTED}
        unknown = {row.number for row in rows if row.state == State.UNCERTAIN}

        assert [line.recipient for row, line in mine if line.recipient.lower() != row.email.lower()] == []  # nobody got another's mail
        assert tally.doubled <= resent, f"I1: {[number for number, count in copies.items() if count > 1]}"
        assert len(rows) == len({row.email for row in rows}) == campaign.audience, "I2: a recipient has two rows, or none"
        assert told <= set(copies), f"I3: called accepted, never arrived: {sorted(told - set(copies))}"
        assert set(copies) <= told | unknown, f"I3: arrived, but called otherwise: {sorted(set(copies) - told - unknown)}"
        assert tally.after_a_no == 0, "I4: a mail started after the answer to a no"
        assert tally.uncertain <= bound, f"I5: {tally.uncertain} uncertain, at most {bound} may be"
        if ended:
            assert campaign.status in _OVER, f"I6: the campaign is {campaign.status}"
            assert tally.lost == 0, f"I2: {tally.lost} never came to an end"
            _check_counters(session, ground, campaign_id)
    note(tally, "SQLite" if ground.database.is_sqlite else "PostgreSQL")
    return tally


def note(tally: Tally, database: str) -> None:
    """For the table of `make faults`: one line a campaign, with the test that it belongs to."""
    if path := os.environ.get(REPORT):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"test": test, "database": database, **asdict(tally)}) + "\n")


def _local_part(message_id: str) -> str:
    return message_id.strip("<>").partition("@")[0]


def _tally(
    rows: Sequence[Any], mine: list[tuple[Any, Line]], lines: list[Line], noes: Mapping[str, int], bound: int, kills: int, ended: bool
) -> Tally:
    copies = Counter(row.number for row, _ in mine)
    states = Counter(State(row.state) for row in rows)
    return Tally(
        recipients=sum(states.values()),
        doubled=sum(count - 1 for count in copies.values()),
        lost=sum(states[state] for state in _OPEN if ended)
        + len([row for row in rows if row.state == State.ACCEPTED and row.number not in copies]),
        uncertain=states[State.UNCERTAIN],
        bound=bound,
        after_a_no=len([line for line in lines if line.kind == "M" and line.moment > noes.get(line.recipient, line.moment)]),
        drops=len([line for line in lines if line.kind == "X"]),
        kills=kills,
    )


def _check_counters(session: Session, ground: Runtime, campaign_id: int) -> None:
    """I7: nothing is held, due or left over."""
    held = session.execute(select(Chunk).where(Chunk.campaign_id == campaign_id)).scalars().all()
    living = session.execute(select(Lane.id).where(Lane.campaign_id == campaign_id, Lane.dead.is_(False))).scalars().all()
    left = set(journal.Folder(ground.settings.journal_dir).lanes())
    lanes = set(session.execute(select(Lane.id).where(Lane.campaign_id == campaign_id)).scalars())
    cancelled = session.get_one(Campaign, campaign_id).status == CampaignStatus.CANCELLED
    assert [chunk.number for chunk in held if chunk.lane_id is not None or (chunk.due_at is not None and not cancelled)] == [], "I7: chunks"
    assert living == [], f"I7: lanes that nobody buried: {living}"
    assert left & lanes == set(), f"I7: journals that nobody removed: {left & lanes}"
