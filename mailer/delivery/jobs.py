"""The RQ functions of sending: open, run, ring the next bell."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop
from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from kairan import clock, installation, queues, vault
from kairan.clock import database_now
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, Provider, State
from kairan.models.deliveries import Lane as LaneRow
from kairan.models.events import Engagement
from kairan.runtime import Runtime, runtime
from kairan.sql import among
from mailer.delivery import brakes, ceilings, journal, programs, providers, rates, recovery, signing, throttle
from mailer.delivery.lane import LANE_S, Lane
from mailer.delivery.throttle import Share

RUN_LANE = "mailer.delivery.jobs.run_lane"
LEFT_TO_RECOVERY = ("database", "dead")
GOES_ON_AFTER = ("time", "empty", "campaign", "busy", "provider", "ceiling")
"""the successor is rung if there is work and a provider that is neither broken nor full: traffic moves at once"""

log = logging.getLogger(__name__)


def ring(ground: Runtime, campaign_id: int, bells: int = 1) -> None:
    for _ in range(bells):
        ground.queues.ring(queues.LANE, RUN_LANE, campaign_id)


def ring_waiting(ground: Runtime, bells_max: int = 8) -> int:
    """Rings for campaigns that have free work and nobody on the way to it: what a lost Redis or a dead worker forgot."""
    if ground.queues.waiting(queues.LANE):
        return 0
    with ground.reading() as session:
        now = clock.now()
        free = session.execute(
            select(Chunk.campaign_id, func.count())
            .join(Campaign, Campaign.id == Chunk.campaign_id)
            .where(Campaign.status == CampaignStatus.SENDING, Chunk.lane_id.is_(None), Chunk.due_at <= now)
            .group_by(Chunk.campaign_id)
        ).all()
        if free and not providers.available(session, now) and session.scalar(select(exists().where(Provider.enabled.is_(True)))):
            return 0
    for campaign_id, count in free:
        ring(ground, campaign_id, min(count, bells_max))
    return len(free)


def run_lane(campaign_id: int, seconds: float = LANE_S) -> None:
    """One lane of a campaign, for about a minute; rings its successor if there is more to do."""
    ground = runtime()
    lane = _prepare(ground, campaign_id, seconds)
    if lane is None:
        return
    try:
        with _little_collecting():
            why = uvloop.run(lane.run())
        if why not in LEFT_TO_RECOVERY:
            _end(ground, lane)
    finally:
        lane.journal.abandon()
    if why in GOES_ON_AFTER and _has_work(ground, campaign_id):
        ring(ground, campaign_id)


@contextmanager
def _little_collecting() -> Iterator[None]:
    """A lane makes no cycles but hundreds of thousands of small rows: the default collector looked at them every 700."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _prepare(ground: Runtime, campaign_id: int, seconds: float) -> Lane | None:
    """A new lane with its row, lock and journal; None where there is nothing to send or nothing to send through."""
    try:
        folder = journal.Folder(ground.settings.journal_dir)
        return _prepare_in(ground, folder, campaign_id, seconds)
    except journal.JournalError as error:  # no room, or a network disk: waiting does not mend it, and without D there is no dot
        log.error("journal", extra={"campaign": campaign_id, "error": str(error)})
        with ground.writing() as session:
            brakes.pause(session, campaign_id, "journal", str(error), clock.now())
        return None


def _prepare_in(ground: Runtime, folder: journal.Folder, campaign_id: int, seconds: float) -> Lane | None:
    with ground.writing() as session:
        now = clock.now()
        campaign = session.get(Campaign, campaign_id)
        if campaign is None or campaign.status != CampaignStatus.SENDING or not _free_chunk(session, campaign_id):
            return None
        loaded = programs.load(session, campaign_id, ground.secrets.tokens, installation.get(session, "language"))
        if loaded is None:
            return None
        found = providers.usable(session, ground, vault.of(ground.secrets), now)
        if found is None:
            log.warning("no provider is available", extra={"campaign": campaign_id})
            return None
        provider, account = found
        seconds = providers.lane_seconds(session, seconds)
        at = database_now(session)
        row = LaneRow(
            campaign_id=campaign_id, place=folder.place, boot=journal.boot_id(), heartbeat_at=at, started_at=at, provider_id=provider.id
        )
        session.add(row)
        session.flush()
        lane_id, provider_id = row.id, provider.id
        rate = rates.load(session, ground.redis, provider, lane_id)
        has_ceiling = ceilings.ceiling_of(session, provider, ceilings.today(session, now).get(provider_id), now) is not None
        signer = signing.signer_for(session, ground.secrets, loaded.from_email, now)
    return Lane(
        lane_id=lane_id,
        campaign_id=campaign_id,
        provider_id=provider_id,
        account=account,
        programs=loaded,
        database=ground.database,
        journal=journal.Journal(folder, lane_id),
        share=Share(ground.redis, provider_id, lane_id, account.connections),
        rate=rate,
        signer=signer,
        has_ceiling=has_ceiling,
        seconds=seconds,
    )


def _free_chunk(session: Session, campaign_id: int) -> bool:
    now = clock.now()
    return bool(
        session.execute(select(exists().where(Chunk.campaign_id == campaign_id, Chunk.lane_id.is_(None), Chunk.due_at <= now))).scalar_one()
    )


def _has_work(ground: Runtime, campaign_id: int) -> bool:
    with ground.reading() as session:
        campaign = session.get(Campaign, campaign_id)
        if campaign is None or campaign.status != CampaignStatus.SENDING or not _free_chunk(session, campaign_id):
            return False
        return bool(providers.available(session, clock.now()))


def _end(ground: Runtime, lane: Lane) -> None:
    """Everything is recorded: the lane row is closed, then the journal goes. Else recovery has the last word."""
    with ground.writing() as session:
        open_rows = session.execute(
            select(func.count()).where(
                Delivery.campaign_id == lane.campaign_id, Delivery.lane_id == lane.lane_id, Delivery.state == State.SENDING
            )
        ).scalar_one()
        held = session.execute(select(func.count()).where(Chunk.lane_id == lane.lane_id)).scalar_one()
        if open_rows or held:
            log.warning("lane leaves rows to recovery", extra={"lane": lane.lane_id, "rows": open_rows, "chunks": held})
            return
        session.execute(update(LaneRow).where(LaneRow.id == lane.lane_id).values(dead=True, ended_at=clock.now()))
    lane.journal.close()
    log.info(
        "lane ended",
        extra={"campaign": lane.campaign_id, "lane": lane.lane_id, "why": lane.stint.stopping, "accepted": lane.recorder.accepted},
    )


def settle_dead(ground: Runtime) -> None:
    """Lanes that died, as far as this host may judge: their rows from their journals, their connections back into the provider's limit."""
    settled = recovery.sweep(ground.database, journal.Folder(ground.settings.journal_dir), clock.now())
    if settled:
        with ground.reading() as session:
            provider_ids = list(session.execute(select(Provider.id)).scalars())
        throttle.forget(ground.redis, provider_ids, settled)


def settle_uncertain(ground: Runtime, campaign_id: int) -> int:
    """Uncertain deliveries whose member opened or clicked have arrived after all. Returns how many."""
    with ground.reading() as session:
        seen = exists().where(Engagement.campaign_id == Delivery.campaign_id, Engagement.number == Delivery.number)
        numbers = list(
            session.execute(
                select(Delivery.number).where(Delivery.campaign_id == campaign_id, Delivery.state == State.UNCERTAIN, seen).limit(2_000)
            ).scalars()
        )
    if not numbers:
        return 0
    with ground.writing() as session:
        session.execute(
            update(Delivery)
            .where(Delivery.campaign_id == campaign_id, among(session, Delivery.number, numbers), Delivery.state == State.UNCERTAIN)
            .values(state=State.ACCEPTED, reason="evidence"),
            execution_options={"synchronize_session": False},
        )
    return len(numbers)
