"""What a batch adds up to, written in the transaction of its stream position: events, engagement, links, hours, dropped by reason."""

from collections import defaultdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from kairan.models.events import Engagement, Event, EventKind, IngestCount, LinkEngagement, Rollup
from kairan.sql import among, is_sqlite
from tracking import packing, rollups
from tracking.batch import Batch, Seen

_COLUMNS = (
    "occurred_at", "entry", "slot", "campaign_id", "number", "member_id", "kind", "link", "machine", "rule", "client", "network",
)  # fmt: skip
_COPY = f"COPY events ({', '.join(_COLUMNS)}) FROM STDIN"
_HOUR_MS = 3_600_000

network_name = lru_cache(maxsize=20_000)(packing.network_name)


def write(session: Session, batch: Batch, now: datetime) -> None:
    """One row a fetch of a named delivery, and all counters. The caller holds the stream position, so nobody else writes here."""
    named = [seen for seen in batch.fetches if not seen.anonymous]
    _write_events(session, batch, named)
    firsts = _Firsts(session, named)
    _add_engagement(session, batch, named)
    _add_hours(session, batch, firsts)
    day = now.astimezone(UTC).date().isoformat()
    rollups.add(session, IngestCount, {(day, reason): {"count": count} for reason, count in batch.dropped.items() if count})


# ---- events


def _write_events(session: Session, batch: Batch, named: list[Seen]) -> None:
    if not named:
        return
    rows = [_row(batch, seen) for seen in named]
    if is_sqlite(session):
        session.execute(insert(Event.__table__), [dict(zip(_COLUMNS, row, strict=True)) for row in rows])  # type: ignore[arg-type]
        return
    # Nothing of a row is anybody's text: numbers, times, and names out of our own tables, so nothing needs escaping.
    lines = "".join(["\t".join(["\\N" if value is None else str(value) for value in row]) + "\n" for row in rows])
    connection: Any = session.connection().connection.driver_connection
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(lines)


def _row(batch: Batch, seen: Seen) -> tuple[Any, ...]:
    fetch, verdict = seen.fetch, seen.verdict
    return (
        moment(fetch.ms),
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


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


# ---- firsts


class _Firsts:
    """Whether a person's fetch is the first of its kind for this delivery: asked before the counters go up."""

    def __init__(self, session: Session, named: list[Seen]) -> None:
        people = [seen.fetch for seen in named if not seen.verdict.machine]
        self._opened: set[tuple[int, int]] = set()
        self._clicked: set[tuple[int, int]] = set()
        self._links: set[tuple[int, int, int]] = set()
        numbers: defaultdict[int, set[int]] = defaultdict(set)
        clickers: defaultdict[int, set[int]] = defaultdict(set)
        for fetch in people:
            numbers[fetch.campaign_id].add(fetch.number)
            if fetch.kind == EventKind.CLICK:
                clickers[fetch.campaign_id].add(fetch.number)
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


def _add_engagement(session: Session, batch: Batch, named: list[Seen]) -> None:
    deliveries: dict[tuple[int, int], dict[str, Any]] = {}
    links: dict[tuple[int, int, int], dict[str, Any]] = {}
    for seen in named:
        fetch, is_machine = seen.fetch, seen.verdict.machine
        at = moment(fetch.ms)
        key = fetch.campaign_id, fetch.number
        row = deliveries.get(key)
        if row is None:
            row = deliveries[key] = _blank(batch.deliveries[key].member_id, at)
        is_click = fetch.kind == EventKind.CLICK
        name = "clicks" if is_click else "opens"
        row[f"machine_{name}" if is_machine else name] += 1
        row["last_at"] = max(row["last_at"], at)
        if not is_machine:
            first = "first_click_at" if is_click else "first_open_at"
            row[first] = min(row[first] or at, at)
        if is_click:
            link = links.setdefault((*key, fetch.link), {"clicks": 0, "machine_clicks": 0, "first_at": at})
            link["machine_clicks" if is_machine else "clicks"] += 1
            link["first_at"] = min(link["first_at"], at)
    rollups.add(session, Engagement, deliveries, least=("first_open_at", "first_click_at"), greatest=("last_at",))
    rollups.add(session, LinkEngagement, links, least=("first_at",))


def _blank(member_id: int, at: datetime) -> dict[str, Any]:
    return {
        "member_id": member_id,
        "opens": 0,
        "clicks": 0,
        "machine_opens": 0,
        "machine_clicks": 0,
        "first_open_at": None,
        "first_click_at": None,
        "last_at": at,
    }


def _add_hours(session: Session, batch: Batch, firsts: _Firsts) -> None:
    hours: dict[tuple[int, int, int, int], dict[str, int]] = {}
    for seen in batch.fetches:
        fetch = seen.fetch
        key = fetch.campaign_id, fetch.ms // _HOUR_MS, fetch.kind, fetch.link
        row = hours.get(key)
        if row is None:
            row = hours[key] = {"people": 0, "machines": 0, "uniques": 0, "unique_any": 0, "anonymous": 0}
        if seen.verdict.machine:
            row["machines"] += 1
            continue
        row["people"] += 1
        if seen.anonymous:
            row["anonymous"] += 1
            continue
        is_first, is_first_of_any = firsts.take(seen)
        row["uniques"] += is_first
        row["unique_any"] += is_first_of_any
    rollups.add(
        session, Rollup, {(campaign, moment(hour * _HOUR_MS), kind, link): row for (campaign, hour, kind, link), row in hours.items()}
    )
