"""Views of the organisation's own web pages: counted for everybody, joined to a member only by a token from their mail and a cookie.

They travel as entries of a Redis stream of their own, and are written once, in one transaction with the stream's position. A member's
choice that holds now decides: who refused, was suspended or erased since is a view like any other.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError
from sqlalchemy import and_, select, tuple_, update
from sqlalchemy.orm import Session

from kairan.database import Database
from kairan.models.audience import Member, Recording
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery
from kairan.models.events import StreamPosition
from kairan.models.webhooks import MemberVisit, Site, SiteVisits
from kairan.sql import insert

if TYPE_CHECKING:
    from redis import Redis

STREAM = "kairan:visits"
STREAM_MAX = 100_000
AT_ONCE = 500
PATH_MAX = 200

log = logging.getLogger(__name__)
Entry = tuple[bytes, dict[bytes, bytes]]


def page_of(address: str) -> str:
    """The path of an address or path, without query and fragment, which may hold anything; `/` for what is none."""
    try:
        path = urlsplit(address).path
    except ValueError:
        return "/"
    return path[:PATH_MAX] if path.startswith("/") and path.isprintable() else "/"


def note(redis: "Redis", site_id: int, path: str, now: datetime, *, counts: bool, campaign_id: int = 0, number: int = 0) -> bool:
    """One view on its way. `counts` is False for the join alone, when a cookie is accepted on a page that was counted before.

    Returns False where Redis is away: the view is lost.
    """
    fields: dict[Any, Any] = {
        "site": site_id, "path": path, "ms": int(now.timestamp() * 1_000), "counts": int(counts), "campaign": campaign_id, "number": number,
    }  # fmt: skip
    try:
        redis.xadd(STREAM, fields, maxlen=STREAM_MAX, approximate=True)
    except RedisError as error:
        log.warning("a visit is lost", extra={"error": type(error).__name__})
        return False
    return True


def drain(database: Database, redis: "Redis", now: datetime) -> int:
    """Takes the next entries. Returns how many; 0: nothing is there, or Redis is away."""
    try:
        if not redis.xlen(STREAM):
            return 0
        with database.reading() as session:
            last_id = session.scalars(select(StreamPosition.last_id).where(StreamPosition.stream == STREAM)).one_or_none() or "0-0"
        found: Any = redis.xrange(STREAM, min=f"({last_id}", count=AT_ONCE)
        entries: list[Entry] = list(found)
        if entries:
            newest = entries[-1][0].decode()
            with database.writing() as session:
                if not _take(session, last_id, newest, now):
                    return 0
                _write(session, [_read(fields) for _id, fields in entries])
            last_id = newest
        ms, _, sequence = last_id.partition("-")
        redis.xtrim(STREAM, minid=f"{ms}-{int(sequence) + 1}", approximate=False)
        return len(entries)
    except RedisError:
        return 0


def _take(session: Session, last_id: str, newest: str, now: datetime) -> bool:
    """False: another drain was quicker."""
    row = {"stream": STREAM, "epoch": "", "last_id": "0-0", "updated_at": now}
    session.execute(insert(session, StreamPosition).values(**row).on_conflict_do_nothing())
    moved = session.execute(
        update(StreamPosition)
        .where(StreamPosition.stream == STREAM, StreamPosition.last_id == last_id)
        .values(last_id=newest, updated_at=now),
        execution_options={"synchronize_session": False},
    )
    return bool(moved.rowcount)  # type: ignore[attr-defined]


def _read(fields: dict[bytes, bytes]) -> dict[str, Any]:
    numbers = {name: int(fields[name.encode()]) for name in ("site", "ms", "counts", "campaign", "number")}
    return {**numbers, "path": fields[b"path"].decode("utf-8", "replace")}


def _write(session: Session, views: Sequence[dict[str, Any]]) -> None:
    sites = set(session.scalars(select(Site.id)))
    views = [view for view in views if view["site"] in sites]
    members = _members(session, {(view["campaign"], view["number"]) for view in views if view["number"]})
    counted: Counter[tuple[int, str, str]] = Counter()
    known: Counter[tuple[int, str, str]] = Counter()
    for view in views:
        at = datetime.fromtimestamp(view["ms"] / 1_000, UTC)
        key = view["site"], at.date().isoformat(), view["path"]
        counted[key] += view["counts"]
        member_id = members.get((view["campaign"], view["number"]))
        if member_id is not None:
            known[key] += 1
            session.add(MemberVisit(member_id=member_id, campaign_id=view["campaign"], site_id=view["site"], path=view["path"], at=at))
    for key in sorted(counted):
        row = {"site_id": key[0], "day": key[1], "path": key[2], "views": counted[key], "known": known[key]}
        sums = {"views": SiteVisits.views + row["views"], "known": SiteVisits.known + row["known"]}
        keys = [SiteVisits.site_id, SiteVisits.day, SiteVisits.path]
        session.execute(insert(session, SiteVisits).values(**row).on_conflict_do_update(index_elements=keys, set_=sums))
    session.flush()


def _members(session: Session, deliveries: set[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Of those whose member and campaign are recorded by name now."""
    if not deliveries:
        return {}
    rows = session.execute(
        select(Delivery.campaign_id, Delivery.number, Member.id)
        .join(Member, Member.id == Delivery.member_id)
        .join(Campaign, Campaign.id == Delivery.campaign_id)
        .where(
            tuple_(Delivery.campaign_id, Delivery.number).in_(deliveries),
            and_(Member.recording == Recording.IDENTIFIED, Member.suspended_at.is_(None), Campaign.recording == Recording.IDENTIFIED),
        )
    )
    return {(row[0], row[1]): row[2] for row in rows}
