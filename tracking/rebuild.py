"""Counters by the rules of today: `kairan rebuild-reports` after a release whose rules judge otherwise.

A campaign is read once without a lock. Only deliveries with a changed verdict are written, some hundred in a transaction, and by
differences: what events no longer tell (months dropped by retention, fetches recorded in the aggregate) stays in the counters. A delivery
whose counters hold more than its events do is left as it is, and told.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from kairan.database import Database
from kairan.models.audience import Member
from kairan.models.deliveries import Delivery
from kairan.models.events import Aspect, Engagement, Event, EventKind, Facet, LinkEngagement, Rollup, StreamPosition
from kairan.models.installation import Mark
from kairan.sql import insert, locked
from tracking import rejudge
from tracking.rejudge import Kept, Told

AT_ONCE = 200
"""deliveries a transaction"""
TELL = 20_000
"""events after which it is told how far things are"""
MARK = "timed_rules"


@dataclass(slots=True)
class Outcome:
    """Of a campaign: events read, judged otherwise now, and left as they are since their delivery's events are not all there."""

    events: int = 0
    changed: int = 0
    left: int = 0


_Changed = list[tuple[list[Kept], list[Told]]]


def campaigns(session: Session) -> list[int]:
    """Those whose mail somebody or something has fetched from."""
    return list(session.scalars(select(Rollup.campaign_id).distinct().order_by(Rollup.campaign_id)))


def time_has_changed(session: Session) -> bool:
    """Whether the rules that go by time are others than those this installation was last judged by."""
    return (session.scalars(select(Mark.value).where(Mark.name == MARK)).one_or_none() or rejudge.AT_FIRST) != rejudge.timed_rules()


def all_judged(session: Session) -> None:
    """Notes that every campaign was judged by today's rules."""
    row = {"name": MARK, "value": rejudge.timed_rules()}
    session.execute(insert(session, Mark).values(**row).on_conflict_do_update(index_elements=[Mark.name], set_={"value": row["value"]}))


def rebuild(database: Database, campaign_id: int, *, timed: bool) -> Iterator[Outcome]:
    """Judges a campaign's events by today's rules. Yields how far it is after each piece; what it counts is committed.

    Killed anywhere it may be begun again. Raises SQLAlchemyError where the database goes away.
    """
    outcome = Outcome()
    told = 0
    changed: _Changed = []
    with database.reading() as session:
        for rows in _deliveries(session, campaign_id):
            verdicts = rejudge.judged(rows, timed=timed)
            if verdicts != [(row.machine, row.rule) for row in rows]:
                changed.append((rows, verdicts))
            outcome.events += len(rows)
            if len(changed) >= AT_ONCE or outcome.events - told >= TELL:
                _write(database, campaign_id, changed, outcome)
                changed, told = [], outcome.events
                yield outcome
        _write(database, campaign_id, changed, outcome)
    yield outcome


def _deliveries(session: Session, campaign_id: int) -> Iterator[list[Kept]]:
    """Each delivery's events in the order of time; one delivery is in memory."""
    query = (
        select(
            Event.number, Event.occurred_at, Event.entry, Event.slot, Event.kind, Event.link, Event.machine, Event.rule, Event.client,
            Event.device, Event.country, Delivery.state, Delivery.ended_at, Member.email,
        )
        .join(Delivery, and_(Delivery.campaign_id == Event.campaign_id, Delivery.number == Event.number))
        .outerjoin(Member, Member.id == Event.member_id)
        .where(Event.campaign_id == campaign_id)
        .order_by(Event.number, Event.occurred_at, Event.entry, Event.slot)
    )  # fmt: skip
    rows = session.execute(query.execution_options(yield_per=5_000))
    for _number, group in groupby(map(Kept._make, rows), key=lambda row: row.number):
        yield list(group)


# ---- what a delivery adds up to


@dataclass(slots=True)
class _Sums:
    """What deliveries' events add to each counter; one may be taken from another."""

    hours: Counter[tuple[datetime, int, int, str]] = field(default_factory=Counter)
    facets: Counter[tuple[int, str, str]] = field(default_factory=Counter)

    def add(self, rows: Sequence[Kept], told: Sequence[tuple[bool, str]], sign: int) -> None:
        opened, clicked = False, set[int]()
        for row, (machine, rule) in zip(rows, told, strict=True):
            hour = row.occurred_at.replace(minute=0, second=0, microsecond=0), row.kind, row.link
            self.hours[*hour, "machines" if machine else "people"] += sign
            names = ["machines"] if machine else ["opens" if row.kind == EventKind.OPEN else "clicks"]
            if not machine and row.kind == EventKind.OPEN and not opened:
                opened = True
                self.hours[*hour, "uniques"] += sign
                names.append("openers")
            elif not machine and row.kind == EventKind.CLICK:
                if not clicked:
                    self.hours[*hour, "unique_any"] += sign
                    names.append("clickers")
                self.hours[*hour, "uniques"] += sign * (row.link not in clicked)
                clicked.add(row.link)
            for aspect, value in _values(row, rule):
                for name in names:
                    self.facets[aspect, value, name] += sign


def _values(row: Kept, rule: str) -> tuple[tuple[int, str], ...]:
    domain = (row.email or "").partition("@")[2]
    values = {
        Aspect.CLIENT: row.client, Aspect.DEVICE: row.device, Aspect.DOMAIN: domain, Aspect.COUNTRY: row.country, Aspect.RULE: rule,
    }  # fmt: skip
    return tuple((int(aspect), value or "") for aspect, value in values.items())


# ---- writing


def _write(database: Database, campaign_id: int, changed: _Changed, outcome: Outcome) -> None:
    if not changed:
        return
    with database.writing() as session:
        # As tracking.erasure does: no drain adds to these deliveries until this is committed.
        session.execute(locked(select(StreamPosition.stream).order_by(StreamPosition.stream), session)).all()
        sums = _Sums()
        written = left = 0
        for rows, told in changed:
            if not _is_whole(session, campaign_id, rows):
                left += len(rows)
                continue
            sums.add(rows, [(row.machine, row.rule) for row in rows], -1)
            sums.add(rows, told, 1)
            written += _write_delivery(session, campaign_id, rows, told)
        _add_hours(session, campaign_id, sums)
        _add_facets(session, campaign_id, sums)
    outcome.changed += written
    outcome.left += left


def _is_whole(session: Session, campaign_id: int, rows: Sequence[Kept]) -> bool:
    """Whether the counters of a delivery come of these events and no others."""
    found = session.get(Engagement, (campaign_id, rows[0].number))
    return found is not None and found.opens + found.clicks + found.machine_opens + found.machine_clicks == len(rows)


def _write_delivery(session: Session, campaign_id: int, rows: Sequence[Kept], told: Sequence[Told]) -> int:
    quiet = {"synchronize_session": False}
    changed = [(row, each) for row, each in zip(rows, told, strict=True) if (row.machine, row.rule) != each]
    for row, each in changed:
        event = (Event.occurred_at == row.occurred_at, Event.entry == row.entry, Event.slot == row.slot)
        session.execute(update(Event).where(*event).values(machine=each.machine, rule=each.rule), execution_options=quiet)
    acts = [(row.kind, row.link, each.machine, row.occurred_at) for row, each in zip(rows, told, strict=True)]

    def count(kind: EventKind, machine: bool, link: int | None = None) -> int:
        return sum(act[0] == kind and act[2] == machine and link in (None, act[1]) for act in acts)

    def first(kind: EventKind) -> datetime | None:
        return min((act[3] for act in acts if act[0] == kind and not act[2]), default=None)

    key = campaign_id, rows[0].number
    values: dict[str, Any] = {
        "opens": count(EventKind.OPEN, False), "clicks": count(EventKind.CLICK, False),
        "machine_opens": count(EventKind.OPEN, True), "machine_clicks": count(EventKind.CLICK, True),
        "first_open_at": first(EventKind.OPEN), "first_click_at": first(EventKind.CLICK),
    }  # fmt: skip
    mine = Engagement.campaign_id == key[0], Engagement.number == key[1]
    session.execute(update(Engagement).where(*mine).values(**values), execution_options=quiet)
    for link in {row.link for row in rows if row.kind == EventKind.CLICK}:
        its = LinkEngagement.campaign_id == key[0], LinkEngagement.number == key[1], LinkEngagement.link == link
        clicks = {"clicks": count(EventKind.CLICK, False, link), "machine_clicks": count(EventKind.CLICK, True, link)}
        session.execute(update(LinkEngagement).where(*its).values(**clicks), execution_options=quiet)
    return len(changed)


def _add_hours(session: Session, campaign_id: int, sums: _Sums) -> None:
    rows: dict[tuple[datetime, int, int], dict[str, int]] = {}
    for (hour, kind, link, name), count in sums.hours.items():
        rows.setdefault((hour, kind, link), dict.fromkeys(("people", "machines", "uniques", "unique_any"), 0))[name] = count
    for hour, kind, link in sorted(rows):
        key = {"campaign_id": campaign_id, "hour": hour, "kind": kind, "link": link}
        _add(session, Rollup.__table__, key, rows[hour, kind, link], {"anonymous": 0})


def _add_facets(session: Session, campaign_id: int, sums: _Sums) -> None:
    rows: dict[tuple[int, str], dict[str, int]] = {}
    for (aspect, value, name), count in sums.facets.items():
        rows.setdefault((aspect, value), dict.fromkeys(("opens", "clicks", "openers", "clickers", "machines"), 0))[name] = count
    for aspect, value in sorted(rows):
        _add(session, Facet.__table__, {"campaign_id": campaign_id, "aspect": aspect, "value": value}, rows[aspect, value], {})


def _add(session: Session, table: Any, key: dict[str, Any], change: dict[str, int], more: dict[str, int]) -> None:
    """Adds to a row of counters, and makes it where there is none: a person's first open may move into an hour that had no person's."""
    if any(change.values()):
        sums = {name: table.c[name] + count for name, count in change.items()}
        added = insert(session, table).values(**key, **change, **more)
        session.execute(added.on_conflict_do_update(index_elements=list(key), set_=sums))
