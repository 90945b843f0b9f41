"""What a dead lane left is settled from its journal (DESIGN.md "Recovery"): R is applied, no D goes back, D without R is uncertain.

Death is proven, never guessed from time alone: a lane whose journal lies here is dead when its lock is free. A lane of another host is
dead when both its host's lease and its own heartbeat are stale by the database's clock.
"""

import logging
import os
from collections import defaultdict
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from kairan.clock import database_now
from kairan.database import Database
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, Lane, Place, State
from kairan.sql import insert, locked
from mailer.delivery import chunks, journal, outcomes
from mailer.delivery.outcomes import Outcome
from mailer.delivery.record import Result, record
from mailer.delivery.smtp import Reply

SWEEP_S = 10
STALE = timedelta(seconds=120)
COMES_BACK = timedelta(days=1)
"""how long after its end a campaign is taken up again for a delivery that a stopped lane put back"""
ALARM_AFTER = timedelta(minutes=15)

log = logging.getLogger(__name__)


def sweep(database: Database, folder: journal.Folder, now: datetime) -> list[int]:
    """One round: renews this host's lease, settles every dead lane. Returns those that were settled."""
    with database.writing() as session:
        renew_lease(session, folder)
        _take_up_again(session, now)
    settled = [lane_id for lane_id in folder.lanes() if _settle_if_possible(database, folder, lane_id, now)]
    return settled + _settle_elsewhere(database, folder, now)


def _take_up_again(session: Session, now: datetime) -> None:
    """Campaigns that ended without a delivery that came back since: a lane that stood still, of a host that was given up, was told 4xx
    after all, or had not begun it. Its row had been taken for uncertain, which does not hold a campaign's end."""
    left = exists().where(Chunk.campaign_id == Campaign.id, Chunk.due_at.is_not(None))
    session.execute(
        update(Campaign)
        .where(Campaign.status == CampaignStatus.SENT, Campaign.ended_at > now - COMES_BACK, left)
        .values(status=CampaignStatus.SENDING, ended_at=None, updated_at=now),
        execution_options={"synchronize_session": False},
    )


def _settle_if_possible(database: Database, folder: journal.Folder, lane_id: int, now: datetime) -> bool:
    """A lane that cannot be settled must not keep the others waiting, nor what a sweep does after them."""
    try:
        return _settle_here(database, folder, lane_id, now)
    except SQLAlchemyError as error:
        log.error("lane cannot be settled", extra={"lane": lane_id, "error": type(error).__name__})
        return False


def renew_lease(session: Session, folder: journal.Folder) -> None:
    at = database_now(session)
    session.execute(
        insert(session, Place)
        .values(id=folder.place, host=journal.host_name(), lease_at=at)
        .on_conflict_do_update(index_elements=[Place.id], set_={"lease_at": at, "host": journal.host_name()})
    )


def _settle_here(database: Database, folder: journal.Folder, lane_id: int, now: datetime) -> bool:
    """A lane whose journal is here: its free lock is the proof that its owner is dead."""
    lock = journal.hold_lock(folder.lock_path(lane_id))
    if lock is None:
        return False
    try:
        with database.writing() as session:
            lane = _bury(session, lane_id)
            if lane is not None:
                found = journal.read(folder, lane_id)
                trusted = not found.torn and lane.boot == journal.boot_id()
                _settle(session, lane, found, trusted=trusted, now=now)
        folder.remove(lane_id)  # after the commit: what it says is in the database now
    finally:
        os.close(lock)
    return lane is not None


def _settle_elsewhere(database: Database, folder: journal.Folder, now: datetime) -> list[int]:
    """Lanes of hosts that are gone: nobody can read their journals, so what was sending is uncertain. Also lanes whose folder is here
    but whose lock file is not: they ended, or never came to their first gate."""
    with database.reading() as session:
        stale = database_now(session) - STALE
        gone = session.execute(
            select(Lane.id)
            .outerjoin(Place, Place.id == Lane.place)
            .where(
                Lane.dead.is_(False),
                Lane.heartbeat_at < stale,
                or_(Lane.place == folder.place, Place.id.is_(None), Place.lease_at < stale),
            )
        ).scalars()
        candidates = [lane_id for lane_id in gone if not folder.lock_path(lane_id).exists()]
    for lane_id in candidates:
        with database.writing() as session:
            lane = _bury(session, lane_id, not_since=database_now(session) - STALE)
            if lane is not None:
                _settle(session, lane, journal.Found(frozenset(), {}, torn=True), trusted=False, now=now)
    return candidates


def _bury(session: Session, lane_id: int, not_since: datetime | None = None) -> Lane | None:
    """Marks the lane dead under its row lock, which waits for a gate whose COMMIT is on its way. None: nothing to settle."""
    lane: Lane | None = session.execute(locked(select(Lane).where(Lane.id == lane_id), session)).scalar_one_or_none()
    if lane is None or (lane.dead and lane.ended_at is not None) or (not_since is not None and lane.heartbeat_at >= not_since):
        return None
    lane.dead = True
    session.flush()
    return lane


def _settle(session: Session, lane: Lane, found: journal.Found, *, trusted: bool, now: datetime) -> None:
    """Rows of the dead lane, by what its journal says of each attempt; then its chunks are free."""
    rows = session.execute(
        select(Delivery.number, Delivery.member_id, Delivery.fence, Delivery.tries).where(
            Delivery.campaign_id == lane.campaign_id, Delivery.lane_id == lane.id, Delivery.state == State.SENDING
        )
    ).all()
    results = [Result(row.number, row.member_id, row.fence, row.tries, _verdict(found, (row.number, row.fence), trusted)) for row in rows]
    record(session, lane.campaign_id, lane.id, results, now)
    owned = session.execute(select(Chunk.number).where(Chunk.lane_id == lane.id, Chunk.campaign_id == lane.campaign_id)).scalars().all()
    for number in owned:
        chunks.let_go(session, lane.campaign_id, number, lane.id)
    lane.ended_at = now
    counts: dict[str, int] = defaultdict(int)
    for result in results:
        counts[result.outcome.state.name.lower()] += 1
    log.warning("lane recovered", extra={"campaign": lane.campaign_id, "lane": lane.id, "trusted": trusted, **counts})


def _verdict(found: journal.Found, attempt: tuple[int, int], trusted: bool) -> Outcome:
    answer = found.answers.get(attempt)
    if answer is not None:
        return outcomes.of_reply(Reply(answer.code, answer.text))
    if attempt in found.dots:
        return outcomes.uncertain("the sender died between the final dot and the reply")
    return outcomes.RELEASED if trusted else outcomes.uncertain("the sender's journal is gone")
