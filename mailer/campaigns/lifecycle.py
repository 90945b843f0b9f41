"""The life of a campaign: which moves there are, who wins a race for one, what happens at each.

draft → scheduled → sending → sent          paused and cancelled branch off; a paused campaign may be edited and resumed
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, null, or_, select, update
from sqlalchemy.orm import Session

from kairan.i18n import lazy_gettext
from kairan.models.audience import List, Recording
from kairan.models.campaigns import Campaign, CampaignList, CampaignStatus, Series, SeriesState
from kairan.models.deliveries import Chunk, Delivery, Lane, State
from kairan.sql import locked
from mailer.audience import segments
from mailer.campaigns import labels, revisions
from mailer.campaigns.revisions import Content

MOVES: dict[CampaignStatus, frozenset[CampaignStatus]] = {
    CampaignStatus.DRAFT: frozenset({CampaignStatus.SCHEDULED, CampaignStatus.CANCELLED}),
    CampaignStatus.SCHEDULED: frozenset({CampaignStatus.SENDING, CampaignStatus.DRAFT, CampaignStatus.CANCELLED, CampaignStatus.PAUSED}),
    CampaignStatus.SENDING: frozenset({CampaignStatus.PAUSED, CampaignStatus.SENT, CampaignStatus.CANCELLED}),
    CampaignStatus.PAUSED: frozenset(
        {CampaignStatus.SENDING, CampaignStatus.CANCELLED, CampaignStatus.SENT, CampaignStatus.SCHEDULED}
    ),  # back to scheduled only where a restored backup held it before its time
    CampaignStatus.SENT: frozenset({CampaignStatus.SENDING}),  # only to send uncertain deliveries again
    CampaignStatus.CANCELLED: frozenset(),
}

PAUSE_REASONS = {
    "policy": lazy_gettext("The mail server refuses our mail for its policy; more than one in twenty of the last mails were turned away."),
    "sender_refused": lazy_gettext("The mail server refuses the sender address."),
    "login_refused": lazy_gettext("The mail server refused the login. Check user and password of the SMTP account."),
    "bounces": lazy_gettext("More than one in twenty of the last addresses does not exist. The list is old or was not asked for."),
    "complaints": lazy_gettext("More than 3 in 1,000 members reported the mail as spam."),
    "disk": lazy_gettext("A sending machine has almost no room left on its disk."),
    "clock": lazy_gettext("The clock of a sending machine jumped, so times and deadlines cannot be trusted."),
    "journal": lazy_gettext("The disk of the sending journal is full or broken."),
    "late": lazy_gettext("The start was missed by more than six hours, so a person must confirm it."),
    "missed": lazy_gettext("This occurrence was missed by more than an hour. It is not sent late unless a person says so."),
    "findings": lazy_gettext("The check before the send found errors, so this occurrence waits for a person."),
    "segment": lazy_gettext("A segment of this campaign names a list or an attribute that is not there any more."),
    "restored": lazy_gettext(
        "The database was restored or copied. Mails sent since that backup are not known here; going on could send them again."
    ),
}

UNDO_S = 60
LATE = timedelta(hours=6)
OCCURRENCE_LATE = timedelta(hours=1)
"""for one of a series the next is not far"""


class MoveRefused(Exception):
    """The campaign is not in a state from which this may be done; `status` is the one it is in."""

    def __init__(self, status: str, wanted: CampaignStatus) -> None:
        super().__init__(f"a campaign that is {status} cannot become {wanted}")
        self.status = status
        self.wanted = wanted


class UnknownList(ValueError):
    """A list that is named does not exist."""

    def __init__(self, ids: list[int]) -> None:
        super().__init__(f"unknown list: {', '.join(map(str, ids))}")
        self.ids = ids


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a campaign is for, and how it records."""

    lists: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    purpose_id: int | None = None
    recording: str = Recording.IDENTIFIED
    record_clicks: bool = True
    record_opens: bool = True
    utm: Mapping[str, str] | None = None
    """source, medium, campaign: what links carry as `utm_…`"""
    segment: int | None = None
    """of the lists' members only those who fit it"""
    excluded_segments: tuple[int, ...] = ()


def create(session: Session, name: str, reach: Reach, content: Content, *, now: datetime, by: int | None = None) -> Campaign:
    """A new draft. Raises UnknownList, UnknownSegment."""
    campaign = Campaign(name=name, created_by=by, created_at=now, updated_at=now)
    session.add(campaign)
    session.flush()
    set_reach(session, campaign, reach, now=now)
    revisions.first(session, campaign, content, now=now, by=by)
    return campaign


def set_reach(session: Session, campaign: Campaign, reach: Reach, *, now: datetime) -> None:
    """Replaces lists and segments of a draft. Raises UnknownList, UnknownSegment, NotEditable once deliveries are being written."""
    if campaign.status != CampaignStatus.DRAFT:
        raise revisions.NotEditable
    wanted = {**dict.fromkeys(reach.lists, False), **dict.fromkeys(reach.excluded, True)}
    known = set(session.execute(select(List.id).where(List.id.in_(wanted))).scalars())
    if missing := sorted(wanted.keys() - known):
        raise UnknownList(missing)
    for row in session.execute(select(CampaignList).where(CampaignList.campaign_id == campaign.id)).scalars():
        session.delete(row)
    session.flush()
    session.add_all(CampaignList(campaign_id=campaign.id, list_id=list_id, excluded=excluded) for list_id, excluded in wanted.items())
    segments.choose(session, campaign.id, reach.segment, reach.excluded_segments)
    campaign.purpose_id = reach.purpose_id
    campaign.recording = Recording(reach.recording)
    campaign.record_clicks = reach.record_clicks
    campaign.record_opens = reach.record_opens
    campaign.utm = dict(reach.utm) if reach.utm else None
    campaign.updated_at = now
    session.flush()


def reach_of(session: Session, campaign: Campaign) -> Reach:
    rows = (
        session.execute(select(CampaignList).where(CampaignList.campaign_id == campaign.id).order_by(CampaignList.list_id)).scalars().all()
    )
    chosen, excluded_segments = segments.chosen(session, campaign.id)
    return Reach(
        lists=tuple(row.list_id for row in rows if not row.excluded),
        excluded=tuple(row.list_id for row in rows if row.excluded),
        purpose_id=campaign.purpose_id,
        recording=campaign.recording,
        record_clicks=campaign.record_clicks,
        record_opens=campaign.record_opens,
        utm=campaign.utm,
        segment=chosen,
        excluded_segments=excluded_segments,
    )


def copy(session: Session, campaign_id: int, name: str, *, now: datetime, by: int | None = None) -> Campaign:
    """A new draft that says the same to the same lists, under the same labels."""
    original = session.get_one(Campaign, campaign_id)
    content = revisions.content_of(revisions.current(session, original))
    made = create(session, name, reach_of(session, original), content, now=now, by=by)
    made.in_archive = original.in_archive
    labels.put(session, made.id, labels.of(session, [campaign_id])[campaign_id])
    return made


def schedule(
    session: Session,
    campaign_id: int,
    due_at: datetime,
    *,
    now: datetime,
    wall: str | None = None,
    zone: str | None = None,
    local_time: bool = False,
    send_window: dict[str, Any] | None = None,
    per_hour: int | None = None,
) -> None:
    """draft → scheduled. The caller has shown the pre-flight's findings. Raises MoveRefused (also for a double click)."""
    if _is_pattern(session, campaign_id):
        raise MoveRefused(CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)
    asked = {"local_time": local_time, "send_window": send_window or null(), "per_hour": per_hour}
    _move(
        session, campaign_id, [CampaignStatus.DRAFT], CampaignStatus.SCHEDULED, now, due_at=due_at, due_wall=wall, due_zone=zone, **asked
    )  # fmt: skip


def _is_pattern(session: Session, campaign_id: int) -> bool:
    """Of a series that has not ended: only its occurrences are sent."""
    live = Series.pattern_id == campaign_id, Series.state != SeriesState.ENDED
    return bool(session.execute(select(exists().where(*live))).scalar_one())


def unschedule(session: Session, campaign_id: int, *, now: datetime) -> None:
    """scheduled → draft: the undo within 60 seconds, or a change of mind before the time."""
    _move(session, campaign_id, [CampaignStatus.SCHEDULED], CampaignStatus.DRAFT, now, due_at=None, due_wall=None, due_zone=None)


def start(session: Session, campaign_id: int, *, now: datetime) -> bool:
    """scheduled → sending, for one winner: False for whoever comes second."""
    try:
        _move(session, campaign_id, [CampaignStatus.SCHEDULED], CampaignStatus.SENDING, now, started_at=now)
    except MoveRefused:
        return False
    return True


def hold_late(session: Session, *, now: datetime) -> list[int]:
    """scheduled → paused, for starts that were missed by more than six hours (an occurrence: by one): a machine that was off, or a
    restored backup whose campaigns went out long ago (listmonk #1801 sent them again). A person resumes or cancels."""
    is_one_of_many = Campaign.occurrence.is_not(None)
    bounds = (("missed", is_one_of_many, OCCURRENCE_LATE), ("late", ~is_one_of_many, LATE))
    held: list[int] = []
    for reason, which, bound in bounds:
        found = session.execute(
            update(Campaign)
            .where(Campaign.status == CampaignStatus.SCHEDULED, which, Campaign.due_at < now - bound)
            .values(status=CampaignStatus.PAUSED, paused_reason=reason, started_at=now, updated_at=now)
            .returning(Campaign.id)
        )
        held += found.scalars()
    return held + _hold_stopped(session, now)


def _hold_stopped(session: Session, now: datetime) -> list[int]:
    """By local time a campaign starts again and again for a day: one that had mail due for six hours and no lane in them is late too."""
    waiting = exists().where(Chunk.campaign_id == Campaign.id, Chunk.lane_id.is_(None), Chunk.due_at < now - LATE)
    served = exists().where(Lane.campaign_id == Campaign.id, Lane.heartbeat_at > now - LATE)
    found = session.execute(
        update(Campaign)
        .where(Campaign.status == CampaignStatus.SENDING, Campaign.local_time.is_(True), Campaign.updated_at < now - LATE, waiting, ~served)
        .values(status=CampaignStatus.PAUSED, paused_reason="late", updated_at=now)
        .returning(Campaign.id)
    )
    return list(found.scalars())


def hold(session: Session, campaign_id: int, reason: str, detail: str, *, now: datetime) -> None:
    """scheduled → paused, before its time: resumed by a person it is scheduled again, or starts if that time is over."""
    _move(session, campaign_id, [CampaignStatus.SCHEDULED], CampaignStatus.PAUSED, now, paused_reason=reason, paused_detail=detail)


def hold_all(session: Session, reason: str, *, now: datetime) -> list[int]:
    """Everything scheduled or on its way → paused. One that was scheduled goes back to its time when a person resumes it."""
    found = session.execute(
        update(Campaign)
        .where(Campaign.status.in_([CampaignStatus.SCHEDULED, CampaignStatus.SENDING]))
        .values(status=CampaignStatus.PAUSED, paused_reason=reason, updated_at=now)
        .returning(Campaign.id)
    )
    return list(found.scalars())


def due(session: Session, now: datetime) -> list[int]:
    """Campaigns whose time has come, the earliest first."""
    return list(
        session.execute(
            select(Campaign.id)
            .where(Campaign.status == CampaignStatus.SCHEDULED, Campaign.due_at <= now)
            .order_by(Campaign.due_at, Campaign.id)
        ).scalars()
    )


def pause(session: Session, campaign_id: int, *, now: datetime) -> None:
    """sending → paused. The caller commits and then calls wait_until_quiet() before it answers."""
    _move(session, campaign_id, [CampaignStatus.SENDING], CampaignStatus.PAUSED, now, paused_reason=None, paused_detail=None)


def is_held_early(campaign: Campaign, now: datetime) -> bool:
    """Paused before it began, and its time is yet to come."""
    return campaign.started_at is None and campaign.due_at is not None and campaign.due_at > now


def resume(session: Session, campaign_id: int, *, now: datetime) -> None:
    """paused → sending, or scheduled where it was held before its time. The caller has waited 1.1 s while it was still paused if it had
    been edited (see resume_after_edit)."""
    campaign = session.get_one(Campaign, campaign_id, populate_existing=True)
    is_early = is_held_early(campaign, now)
    after = CampaignStatus.SCHEDULED if is_early else CampaignStatus.SENDING
    started = {} if campaign.started_at or is_early else {"started_at": now}
    _move(session, campaign_id, [CampaignStatus.PAUSED], after, now, paused_reason=None, paused_detail=None, **started)


def cancel(session: Session, campaign_id: int, *, now: datetime) -> None:
    """Ends a campaign: what is still waiting is never sent. The caller commits, waits, then calls cancel_waiting()."""
    before = [CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED]
    _move(session, campaign_id, before, CampaignStatus.CANCELLED, now, ended_at=now)


def cancel_waiting(session: Session, campaign_id: int, *, now: datetime, limit: int = 2_000) -> int:
    """One piece (≤ 50 ms) of a cancelled campaign's waiting deliveries becomes cancelled; 0 when none is left."""
    numbers = list(
        session.execute(
            select(Delivery.number)
            .where(Delivery.campaign_id == campaign_id, Delivery.state.in_([State.QUEUED, State.DEFERRED]))
            .order_by(Delivery.number)
            .limit(limit)
        ).scalars()
    )
    if numbers:
        session.execute(
            update(Delivery)
            .where(
                Delivery.campaign_id == campaign_id,
                Delivery.number.between(numbers[0], numbers[-1]),
                Delivery.state.in_([State.QUEUED, State.DEFERRED]),
            )
            .values(state=State.CANCELLED, due_at=None, ended_at=now),
            execution_options={"synchronize_session": False},
        )
    return len(numbers)


def reopen(session: Session, campaign_id: int, *, now: datetime) -> None:
    """sent → sending, for deliveries that a person wants to be sent again; one that is still on its way stays as it is."""
    session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENT)
        .values(status=CampaignStatus.SENDING, ended_at=None, final_counts=null(), updated_at=now)
    )


def finish_if_done(session: Session, campaign_id: int, *, now: datetime) -> bool:
    """sending → sent, when the snapshot is complete and nothing is queued, sending or deferred. Uncertain ones do not hold it."""
    busy = exists().where(Chunk.campaign_id == campaign_id, or_(Chunk.due_at.is_not(None), Chunk.lane_id.is_not(None)))
    ready = session.execute(
        select(Campaign.id).where(
            Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING, Campaign.snapshot_at.is_not(None), ~busy
        )
    ).one_or_none()
    if ready is None or _unfinished(session, campaign_id):
        return False
    _move(session, campaign_id, [CampaignStatus.SENDING], CampaignStatus.SENT, now, ended_at=now)
    return True


def _unfinished(session: Session, campaign_id: int) -> bool:
    """Those that wait for the winner of a test are among them."""
    unfinished = Delivery.state.in_([State.QUEUED, State.SENDING, State.DEFERRED])
    return bool(session.execute(select(exists().where(Delivery.campaign_id == campaign_id, unfinished))).scalar_one())


def _move(session: Session, campaign_id: int, before: list[CampaignStatus], after: CampaignStatus, now: datetime, **values: object) -> None:
    """A conditional UPDATE: of two that want it one wins, the other is told. The row is locked first for PostgreSQL's readers of it."""
    status = session.execute(locked(select(Campaign.status).where(Campaign.id == campaign_id), session)).scalar_one()
    if status not in before:
        raise MoveRefused(status, after)
    session.execute(update(Campaign).where(Campaign.id == campaign_id).values(status=after, updated_at=now, **values))
