"""The RQ functions and the tick that carry a campaign from its time to its end: open, call, ring."""

import logging
import time
from datetime import datetime, timedelta
from itertools import count

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from kairan import clock, i18n, installation, queues
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.runtime import Runtime, runtime
from mailer.audience import segments
from mailer.campaigns import compilation, lifecycle, preflight, restored, schedule, seeds, series, trials
from mailer.delivery import brakes, holds, snapshot, system_mail, zone_times
from mailer.delivery import jobs as sending
from mailer.reports import final_counts
from unsubscribe.waiting import LONGEST_S, wait_until_quiet

START = "mailer.campaigns.jobs.start_due"
BELLS = 8
SNAPSHOT_STALE = timedelta(seconds=30)

log = logging.getLogger(__name__)


def ring_start(ground: Runtime) -> None:
    """A campaign is due: somebody should look."""
    ground.queues.ring(queues.WORK, START, timeout_s=3_600)


def start_due() -> None:
    """Starts every campaign whose time has come, and takes up those whose snapshot a kill broke off."""
    ground = runtime()
    copies = 0
    with ground.writing() as session:
        now = clock.now()
        schedule.keep_wall_times(session, now=now)
        for campaign_id in lifecycle.hold_late(session, now=now):
            log.warning("campaign held: its start was missed", extra={"campaign": campaign_id})
        for campaign_id in lifecycle.due(session, now):
            if lifecycle.start(session, campaign_id, now=now):
                copies += seeds.send(session, ground, session.get_one(Campaign, campaign_id), now=now)
    if copies:
        system_mail.ring(ground)
    with ground.reading() as session:
        unfinished = list(
            session.execute(
                select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING, Campaign.snapshot_at.is_(None)).order_by(Campaign.id)
            ).scalars()
        )
    for campaign_id in unfinished:
        begin(campaign_id)


def begin(campaign_id: int) -> None:
    """Compiles, writes the deliveries piece by piece, and rings the lanes as soon as there is something to send."""
    ground = runtime()
    with ground.writing() as session:
        if not _freeze_segments(session, campaign_id):
            return
        compilation.compile_campaign(session, session.get_one(Campaign, campaign_id), ground.settings.base_url)
    with ground.reading() as session:
        times = snapshot.prepare(session, campaign_id, clock.now())
    if times:
        with ground.writing() as session:
            zone_times.write(session, campaign_id, times)
    rung = 0
    while True:
        with ground.writing() as session:
            more = snapshot.take_piece(session, campaign_id, clock.now())
            if rung == 0:
                snapshot.look_again(session)
        if rung < BELLS:
            sending.ring(ground, campaign_id)
            rung += 1
        if not more:
            break
    with ground.writing() as session:
        snapshot.settle(session, campaign_id, clock.now())
        lifecycle.finish_if_done(session, campaign_id, now=clock.now())


def _freeze_segments(session: Session, campaign_id: int) -> bool:
    """The segments hold as they are now. False: one names what is not there any more, so the campaign waits for a person."""
    names = segments.broken(session, campaign_id)
    if names:
        brakes.pause(session, campaign_id, "segment", ", ".join(names), clock.now())
        return False
    segments.freeze(session, campaign_id)
    return True


def pause(ground: Runtime, campaign_id: int) -> None:
    """Pauses, and returns when no mail can start any more. Raises MoveRefused."""
    with ground.writing() as session:
        lifecycle.pause(session, campaign_id, now=clock.now())
    wait_until_quiet(ground.database, campaign_id)


def resume(ground: Runtime, campaign_id: int) -> None:
    """Compiles what was edited, waits out the gates of the old revision, resumes. Raises MoveRefused, MergeError."""
    with ground.writing() as session:
        campaign = session.get_one(Campaign, campaign_id)
        if lifecycle.is_held_early(campaign, clock.now()):  # compiled when its time comes: it may be a draft again before
            lifecycle.resume(session, campaign_id, now=clock.now())
            return
        compilation.compile_campaign(session, campaign, ground.settings.base_url)
    # The gate does not lock the campaign row, so one that passed before the pause may still be on its way (model: resume="time").
    time.sleep(LONGEST_S)
    with ground.writing() as session:
        lifecycle.resume(session, campaign_id, now=clock.now())
    sending.ring(ground, campaign_id, BELLS)
    ring_start(ground)  # for one that was held before its deliveries were written


def cancel(ground: Runtime, campaign_id: int) -> None:
    """Cancels, and returns when no mail can start any more and what was waiting is cancelled. Raises MoveRefused."""
    with ground.writing() as session:
        lifecycle.cancel(session, campaign_id, now=clock.now())
    wait_until_quiet(ground.database, campaign_id)
    while True:
        with ground.writing() as session:
            if not lifecycle.cancel_waiting(session, campaign_id, now=clock.now()):
                return


def tick(ground: Runtime) -> None:
    """What time itself brings (every few seconds, from each worker and the scheduler): starts, ends, bells that nobody heard."""
    restored.guard(ground, clock.now())
    make_occurrences(ground)
    with ground.reading() as session:
        now = clock.now()
        windowed = bool(holds.with_window(session))
        wanted = bool(lifecycle.due(session, now)) or _broken_off(session, now)
        sending_now = list(session.execute(select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING)).scalars())
        cancelled = list(session.execute(_cancelled_lately(now)).scalars())
    if wanted and not ground.queues.waiting(queues.WORK):
        ring_start(ground)
    for campaign_id in sending_now:
        with ground.writing() as session:
            if lifecycle.finish_if_done(session, campaign_id, now=clock.now()):
                log.info("campaign sent", extra={"campaign": campaign_id})
    hold_trials(ground)
    for campaign_id in cancelled:
        with ground.writing() as session:
            lifecycle.cancel_waiting(session, campaign_id, now=clock.now())
    if windowed:
        with ground.writing() as session:
            holds.postpone_closed(session, clock.now())
    sending.ring_waiting(ground, BELLS)


def hold_trials(ground: Runtime) -> None:
    """Tests of variants: their end, the winner, and the rest that becomes due (a kill in between is taken up here)."""
    with ground.reading() as session:
        live = trials.live(session)
    for campaign_id in live:
        with ground.writing() as session:
            wanted = trials.advance(session, campaign_id, now=clock.now())
        if wanted:
            release(ground, campaign_id)


def release(ground: Runtime, campaign_id: int) -> None:
    """Makes the rest of a test due, piece by piece, and rings the lanes."""
    for chunk in count(1):
        with ground.writing() as session:
            if not trials.release(session, campaign_id, chunk, now=clock.now()):
                break
        if chunk <= BELLS:
            sending.ring(ground, campaign_id)


def make_occurrences(ground: Runtime) -> None:
    """The next campaign of each series whose time is near, checked like any other: one with an error waits for a person."""
    with ground.reading() as session:
        due = series.due(session, clock.now())
    for series_id in due:
        with ground.writing() as session:
            made = series.make_occurrence(session, series_id, now=clock.now())
            if made is None:
                continue
            log.info("occurrence made", extra={"series": series_id, "campaign": made.id})
            with i18n.speaking(installation.get(session, "language")):
                found = preflight.check(session, made.id, ground.settings, now=clock.now())
            errors = [finding.message for finding in found if finding.level == "error"]
            if errors:
                lifecycle.hold(session, made.id, "findings", " ".join(errors)[:1_000], now=clock.now())


def _broken_off(session: Session, now: datetime) -> bool:
    """A snapshot nobody works on: its last piece is older than any piece takes."""
    return bool(
        session.execute(
            select(
                exists().where(
                    Campaign.status == CampaignStatus.SENDING, Campaign.snapshot_at.is_(None), Campaign.updated_at < now - SNAPSHOT_STALE
                )
            )
        ).scalar_one()
    )


def _cancelled_lately(now: datetime) -> Select[int]:
    """What recovery puts back into a cancelled campaign's queue is cancelled too."""
    return select(Campaign.id).where(Campaign.status == CampaignStatus.CANCELLED, Campaign.ended_at > now - timedelta(days=1))


def housekeeping(ground: Runtime) -> None:
    """Once a minute: wall times under new rules; deliveries of unknown outcome whose member has opened or clicked since have arrived."""
    with ground.reading() as session:
        moved = schedule.out_of_date(session)
    if moved:
        with ground.writing() as session:
            schedule.keep_wall_times(session, now=clock.now())
    with ground.reading() as session:
        recent = select(Campaign.id).where(
            Campaign.status.in_([CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.SENT]),
            Campaign.started_at > clock.now() - timedelta(days=30),
        )
        campaign_ids = list(session.execute(recent).scalars())
    for campaign_id in campaign_ids:
        sending.settle_uncertain(ground, campaign_id)
    _keep_final_counts(ground)


def _keep_final_counts(ground: Runtime) -> None:
    with ground.reading() as session:
        ended = {number: final_counts.counted(session, number) for number in final_counts.missing(session)}
    for campaign_id, states in ended.items():
        if states is not None:
            with ground.writing() as session:
                final_counts.keep(session, campaign_id, states)
