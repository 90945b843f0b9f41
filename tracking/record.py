"""What a batch adds up to, written in the transaction of its stream position: events, engagement, links, hours, dropped by reason."""

from collections import defaultdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.events import Engagement, EventKind, IngestCount, LinkEngagement, Rollup
from kairan.sql import among, is_sqlite
from tracking import packing
from tracking.batch import Batch, Seen
from tracking.rollups import Counters, written

_COLUMNS = "occurred_at, entry, slot, campaign_id, number, member_id, kind, link, machine, rule, client, network"
_COPY = f"COPY events ({_COLUMNS}) FROM STDIN"
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_HOUR_MS = 3_600_000

ENGAGEMENT = Counters(
    Engagement,
    sums=("opens", "clicks", "machine_opens", "machine_clicks"),
    firsts=("first_open_at", "first_click_at"),
    lasts=("last_at",),
    once=("member_id",),
)
LINKS = Counters(LinkEngagement, sums=("clicks", "machine_clicks"), firsts=("first_at",))
HOURS = Counters(Rollup, sums=("people", "machines", "uniques", "unique_any", "anonymous"))
DROPPED = Counters(IngestCount, sums=("count",))

network_name = lru_cache(maxsize=20_000)(packing.network_name)


def write(session: Session, batch: Batch, now: datetime) -> None:
    """One row a fetch of a named delivery, and all counters. The caller holds the stream position, so nobody else writes here."""
    named = [seen for seen in batch.fetches if not seen.anonymous]
    _write_events(session, batch, named)
    firsts = _Firsts(session, named)
    _add_engagement(session, batch, named)
    _add_links(session, named)
    _add_hours(session, batch, firsts)
    day = now.astimezone(UTC).date().isoformat()
    DROPPED.add(session, [(day, reason, count) for reason, count in batch.dropped.items() if count])


# ---- events


def _write_events(session: Session, batch: Batch, named: list[Seen]) -> None:
    if not named:
        return
    if is_sqlite(session):
        session.connection().exec_driver_sql(_INSERT, [_row(batch, seen, written(seen.fetch.ms)) for seen in named])
        return
    # Nothing of a row is anybody's text: numbers, times, and names out of our own tables, so nothing needs escaping.
    rows = [_row(batch, seen, written(seen.fetch.ms) + "+00") for seen in named]
    lines = "".join(["\t".join(["\\N" if value is None else str(value) for value in row]) + "\n" for row in rows])
    connection: Any = session.connection().connection.driver_connection
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(lines)


def _row(batch: Batch, seen: Seen, occurred_at: str) -> tuple[Any, ...]:
    fetch, verdict = seen.fetch, seen.verdict
    return (
        occurred_at,
        seen.entry,
        seen.slot,
        fetch.campaign_id,
        fetch.number,
        batch.deliveries[fetch.campaign_id, fetch.number].member_id,
        fetch.kind,
        fetch.link,
        verdict.machine,
        verdict.rule,
        verdict.client,
        network_name(fetch.network),
    )


# ---- firsts


class _Firsts:
    """Whether a person's fetch is the first of its kind for this delivery: asked before the counters go up."""

    def __init__(self, session: Session, named: list[Seen]) -> None:
        self._opened: set[tuple[int, int]] = set()
        self._clicked: set[tuple[int, int]] = set()
        self._links: set[tuple[int, int, int]] = set()
        numbers: defaultdict[int, set[int]] = defaultdict(set)
        clickers: defaultdict[int, set[int]] = defaultdict(set)
        for seen in named:
            if not seen.verdict.machine:
                numbers[seen.fetch.campaign_id].add(seen.fetch.number)
                if seen.fetch.kind == EventKind.CLICK:
                    clickers[seen.fetch.campaign_id].add(seen.fetch.number)
        for campaign_id, found in numbers.items():
            self._read(session, campaign_id, found)
        for campaign_id, found in clickers.items():
            self._read_links(session, campaign_id, found)

    def _read(self, session: Session, campaign_id: int, numbers: set[int]) -> None:
        query = select(Engagement.number, Engagement.opens, Engagement.clicks).where(
            Engagement.campaign_id == campaign_id, among(session, Engagement.number, sorted(numbers))
        )
        for number, opens, clicks in session.execute(query):
            if opens:
                self._opened.add((campaign_id, number))
            if clicks:
                self._clicked.add((campaign_id, number))

    def _read_links(self, session: Session, campaign_id: int, numbers: set[int]) -> None:
        query = select(LinkEngagement.number, LinkEngagement.link).where(
            LinkEngagement.campaign_id == campaign_id, among(session, LinkEngagement.number, sorted(numbers)), LinkEngagement.clicks > 0
        )
        self._links.update((campaign_id, number, link) for number, link in session.execute(query))

    def take(self, seen: Seen) -> tuple[bool, bool]:
        """(first open, or first click on this link; first click on any link), true once each."""
        fetch = seen.fetch
        delivery = fetch.campaign_id, fetch.number
        if fetch.kind == EventKind.OPEN:
            is_first = delivery not in self._opened
            self._opened.add(delivery)
            return is_first, False
        link = (*delivery, fetch.link)
        is_first, is_first_of_any = link not in self._links, delivery not in self._clicked
        self._links.add(link)
        self._clicked.add(delivery)
        return is_first, is_first_of_any


# ---- counters

_OPENS, _CLICKS, _MACHINE_OPENS, _MACHINE_CLICKS, _FIRST_OPEN, _FIRST_CLICK, _LAST = range(3, 10)
"""places in a row of ENGAGEMENT"""


def _add_engagement(session: Session, batch: Batch, named: list[Seen]) -> None:
    rows: dict[tuple[int, int], list[Any]] = {}
    for seen in named:
        fetch, ms = seen.fetch, seen.fetch.ms
        key = fetch.campaign_id, fetch.number
        row = rows.get(key)
        if row is None:
            row = rows[key] = [*key, batch.deliveries[key].member_id, 0, 0, 0, 0, None, None, ms]
        is_open = fetch.kind == EventKind.OPEN
        if seen.verdict.machine:
            row[_MACHINE_OPENS if is_open else _MACHINE_CLICKS] += 1
        else:
            row[_OPENS if is_open else _CLICKS] += 1
            first = _FIRST_OPEN if is_open else _FIRST_CLICK
            if row[first] is None or ms < row[first]:
                row[first] = ms
        if ms > row[_LAST]:
            row[_LAST] = ms
    ENGAGEMENT.add(session, rows.values())


def _add_links(session: Session, named: list[Seen]) -> None:
    rows: dict[tuple[int, int, int], list[int]] = {}
    for seen in named:
        fetch = seen.fetch
        if fetch.kind == EventKind.CLICK:
            key = fetch.campaign_id, fetch.number, fetch.link
            row = rows.setdefault(key, [*key, 0, 0, fetch.ms])
            row[4 if seen.verdict.machine else 3] += 1
            row[5] = min(row[5], fetch.ms)
    LINKS.add(session, rows.values())


def _add_hours(session: Session, batch: Batch, firsts: _Firsts) -> None:
    rows: dict[tuple[int, int, int, int], list[int]] = {}
    for seen in batch.fetches:
        fetch = seen.fetch
        key = fetch.campaign_id, fetch.ms // _HOUR_MS * _HOUR_MS, fetch.kind, fetch.link
        row = rows.get(key)
        if row is None:
            row = rows[key] = [*key, 0, 0, 0, 0, 0]
        if seen.verdict.machine:
            row[5] += 1
            continue
        row[4] += 1
        if seen.anonymous:
            row[8] += 1
            continue
        is_first, is_first_of_any = firsts.take(seen)
        row[6] += is_first
        row[7] += is_first_of_any
    HOURS.add(session, rows.values())
