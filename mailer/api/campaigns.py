"""Campaigns by API: made, shown, changed, copied. A change on top of a revision that is no longer the newest is refused."""

from datetime import datetime
from typing import Annotated, Any, Literal

from flask import request
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import clock
from kairan.i18n import gettext as _
from kairan.models.audience import Purpose
from kairan.models.campaigns import Campaign, CampaignStatus, Revision
from kairan.sql import locked
from mailer.api import campaign_reach, schedules
from mailer.api.calls import Call, operation
from mailer.api.campaign_content import ContentGiven, ContentShown, Source, as_fields, as_given
from mailer.api.campaign_reach import Exclude, ExcludeShown, Recording, Utm
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, missing
from mailer.api.schedules import HoursShown, SeriesShown
from mailer.api.shapes import Address, Change, Given, Id, Ids, Line, MaybeLine, PageQuery, Shown, text_id
from mailer.campaigns import labels, lifecycle, public_archive, revisions, schedule
from mailer.campaigns.revisions import Content
from mailer.reports import state_counts

Labels = Annotated[list[str], Field(max_length=100), AfterValidator(labels.checked)]


class NewCampaign(Given):
    name: Line
    subject: MaybeLine
    preheader: MaybeLine = ""
    from_name: Annotated[MaybeLine, Field(max_length=200)]
    from_email: Address
    reply_to: Address | None = None
    lists: Ids = Field(default_factory=list)
    segment: Id | None = None
    exclude: Exclude = Exclude()
    purpose: Line | None = None
    content: ContentGiven
    text: Source | None = None
    recording: Recording = "identified"
    record_opens: bool = True
    record_clicks: bool = True
    utm: Utm = Utm()
    labels: Labels = Field(default_factory=list)
    in_archive: bool = True


class CampaignChange(Change):
    """`revision`: the one the change was made on; the header If-Match says the same."""

    revision: int | None = Field(None, ge=1, le=10**9)
    name: Line = ""
    subject: MaybeLine = ""
    preheader: MaybeLine = ""
    from_name: Annotated[MaybeLine, Field(max_length=200)] = ""
    from_email: Address = ""
    reply_to: Address | None = None
    lists: Ids = Field(default_factory=list)
    segment: Id | None = None
    exclude: Exclude = Exclude()
    purpose: Line | None = None
    content: ContentGiven = ContentGiven()
    text: Source | None = None
    recording: Recording = "identified"
    record_opens: bool = True
    record_clicks: bool = True
    utm: Utm = Utm()
    labels: Labels = Field(default_factory=list)
    in_archive: bool = True


class CampaignQuery(PageQuery):
    label: Annotated[Line, Field(max_length=labels.LENGTH_MAX)] | None = None


class Copy(Given):
    name: Line | None = None


class CampaignBrief(Shown):
    id: str
    name: str
    status: Literal["draft", "scheduled", "sending", "paused", "sent", "cancelled"]
    revision: int
    subject: str
    labels: list[str]
    """words by which people find it"""
    in_archive: bool
    """whether the public archives of its lists show it once it is sent"""
    due_at: datetime | None
    """of a campaign by local time: when the first zone of the earth has it"""
    due_wall: str | None
    due_zone: str | None
    local_time: bool
    window: HoursShown | None
    per_hour: int | None
    series: str | None
    """the recurring campaign that this is the pattern or an occurrence of"""
    occurrence: str | None
    """the wall time that makes it one of a series"""
    started_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime


class CampaignPage(Shown):
    items: list[CampaignBrief]
    next: str | None


class Deliveries(Shown):
    queued: int
    sending: int
    accepted: int
    rejected: int
    deferred: int
    uncertain: int
    suppressed: int
    cancelled: int
    failed: int
    expired: int


class CampaignShown(CampaignBrief):
    audience: int
    """the sum of `deliveries`"""
    left_out: dict[str, int]
    deliveries: Deliveries
    paused_reason: str | None
    paused_detail: str | None
    preheader: str
    from_name: str
    from_email: str
    reply_to: str | None
    lists: list[str]
    segment: str | None
    exclude: ExcludeShown
    purpose: str | None
    content: ContentShown
    text: str | None
    recording: str
    record_opens: bool
    record_clicks: bool
    utm: Utm
    recurring: SeriesShown | None
    last_due_at: datetime | None
    """when the last deliveries are due: a campaign by local time goes out until then"""
    waiting: str | None
    """why nothing goes out just now although nothing is wrong, in a sentence"""


def find(session: Session, campaign_id: int) -> Campaign:
    return session.get(Campaign, campaign_id) or _missing()


def hold(session: Session, campaign_id: int) -> Campaign:
    """As of now, and locked until the end of the transaction: loaded before, it would be compared as it was."""
    query = locked(select(Campaign).where(Campaign.id == campaign_id), session).execution_options(populate_existing=True)
    return session.execute(query).scalar_one_or_none() or _missing()


def _missing() -> Campaign:
    raise missing()


def _brief(campaign: Campaign, subject: str, words: list[str]) -> dict[str, Any]:
    names = CampaignBrief.model_fields.keys() - {"id", "subject", "labels", "window", "series"}
    made = {"labels": words, "window": HoursShown.of(campaign.send_window), "series": text_id(campaign.series_id)}
    return {"id": str(campaign.id), "subject": subject, **made, **{name: getattr(campaign, name) for name in names}}


def brief(session: Session, campaign: Campaign) -> CampaignBrief:
    return CampaignBrief(**_brief(campaign, revisions.current(session, campaign).subject, labels.of(session, [campaign.id])[campaign.id]))


def shown(session: Session, campaign: Campaign) -> CampaignShown:
    revision = revisions.current(session, campaign)
    reach = lifecycle.reach_of(session, campaign)
    # While it goes out every open page asks for the same figures; at rest they are counted anew.
    counted = state_counts.state_counts if campaign.status == CampaignStatus.SENDING else state_counts.fresh
    states = counted(session, campaign.id)
    purpose = session.get(Purpose, campaign.purpose_id) if campaign.purpose_id else None
    return CampaignShown(
        **_brief(campaign, revision.subject, labels.of(session, [campaign.id])[campaign.id]),
        audience=sum(states.values()),
        left_out=campaign.left_out,
        deliveries=Deliveries(**states),
        paused_reason=campaign.paused_reason,
        paused_detail=campaign.paused_detail,
        preheader=revision.preheader,
        from_name=revision.from_name,
        from_email=revision.from_email,
        reply_to=revision.reply_to,
        lists=[str(number) for number in reach.lists],
        segment=text_id(reach.segment),
        exclude=ExcludeShown.of(reach),
        purpose=purpose.name if purpose else None,
        content=as_given(revision),
        text=revision.text,
        recording=campaign.recording,
        record_opens=campaign.record_opens,
        record_clicks=campaign.record_clicks,
        utm=Utm(**(campaign.utm or {})),
        recurring=schedules.shown(session, campaign),
        last_due_at=campaign.last_due_at,
        waiting=schedule.why_waiting(session, campaign, clock.now()),
    )


# ---- what is given


@operation("POST", "/campaigns", "campaign.edit", {201: CampaignBrief}, body=NewCampaign)
def create(call: Call, body: NewCampaign) -> Answer:
    """Makes a draft."""
    said: dict[str, Any] = body.model_dump(include={"subject", "preheader", "from_name", "from_email", "reply_to", "text"})
    content = Content(**(said | as_fields(body.content)))
    with call.effect() as session:
        with campaign_reach.known(body):
            campaign = lifecycle.create(session, body.name, campaign_reach.of_new(session, call, body), content, now=call.now)
        _set_labels(session, call, campaign, body, {"labels", "in_archive"})
        call.audit(session, "campaign.create", campaign.id)
        return call.say(201, brief(session, campaign), Location=f"/api/v1/campaigns/{campaign.id}")


@operation("GET", "/campaigns", "campaign.view", {200: CampaignPage}, query=CampaignQuery)
def index(call: Call, query: CampaignQuery) -> Answer:
    """All campaigns, or those with a label, by id."""
    said = (
        select(Campaign, Revision.subject)
        .join(Revision, (Revision.campaign_id == Campaign.id) & (Revision.number == Campaign.revision))
        .where(Campaign.id > query.after)
    )
    if query.label:
        said = said.where(labels.has(query.label))
    with call.reading() as session:
        rows = session.execute(said.order_by(Campaign.id).limit(query.limit + 1)).all()
        words = labels.of(session, [campaign.id for campaign, _subject in rows])
    items = [CampaignBrief(**_brief(campaign, subject, words[campaign.id])) for campaign, subject in rows[: query.limit]]
    more = text_id(rows[query.limit - 1][0].id) if len(rows) > query.limit else None
    return call.say(200, CampaignPage(items=items, next=more))


@operation("GET", "/campaigns/{campaign_id}", "campaign.view", {200: CampaignShown}, problems=(404,))
def show(call: Call, campaign_id: int) -> Answer:
    """One campaign: what it says, where it stands, and its deliveries by state."""
    with call.reading() as session:
        return _tagged(call, shown(session, find(session, campaign_id)))


def _tagged(call: Call, found: CampaignShown) -> Answer:
    return call.say(200, found, ETag=f'"{found.revision}"')


@operation("PATCH", "/campaigns/{campaign_id}", "campaign.edit", {200: CampaignShown}, body=CampaignChange, problems=(404, 409))
def change(call: Call, campaign_id: int, body: CampaignChange) -> Answer:
    """Changes what is given: a draft's recipients and content, a paused campaign's content, labels and `in_archive` of any."""
    base = _base(body)
    given = body.model_fields_set - {"revision"}
    says = body.model_dump(include=given & Content.__dataclass_fields__.keys() - {"content"})
    if "content" in given:
        says |= as_fields(body.content)
    with call.effect() as session:
        campaign = hold(session, campaign_id)
        try:
            if given - {"labels", "in_archive"}:
                revisions.save(session, campaign_id, campaign.revision if base is None else base, says, now=call.now)
                with campaign_reach.known(body):
                    campaign_reach.change(session, call, campaign, body, given)
            _set_labels(session, call, campaign, body, given)
        except revisions.RevisionConflict as conflict:
            detail = _("Somebody saved in between. Load the campaign again and make your change on that.")
            raise Problem(409, detail, code="revision-conflict", revision=conflict.theirs.number) from None
        except revisions.NotEditable:
            raise not_now(campaign.status) from None
        call.audit(session, "campaign.change", campaign_id, names=sorted(given))
        session.refresh(campaign)
        return _tagged(call, shown(session, campaign))


def _base(body: CampaignChange) -> int | None:
    """The revision that the change was made on; None: whatever holds. Raises Problem."""
    tag = request.headers.get("If-Match", "*").strip().removeprefix("W/").strip('"')
    if tag != "*" and not (tag.isascii() and tag.isdigit() and len(tag) < 10):
        raise Problem(400, _("If-Match must hold the ETag of the campaign."))
    if body.revision is not None:
        return body.revision
    return None if tag == "*" else int(tag)


def _set_labels(session: Session, call: Call, campaign: Campaign, body: NewCampaign | CampaignChange, given: set[str]) -> None:
    """What is no part of the mail, and may be changed when it is sent."""
    if "labels" in given:
        labels.put(session, campaign.id, body.labels)
    if "in_archive" in given:
        public_archive.put(campaign, body.in_archive, now=call.now)
    session.flush()


def not_now(status: str) -> Problem:
    detail = _("This is not possible now: the campaign is “%(status)s”.", status=status)
    return Problem(409, detail, code="campaign-status", campaign_status=str(status))


@operation("POST", "/campaigns/{campaign_id}/copy", "campaign.edit", {201: CampaignBrief}, body=Copy, problems=(404,))
def copy(call: Call, campaign_id: int, body: Copy) -> Answer:
    """A new draft that says the same to the same lists."""
    with call.effect() as session:
        original = find(session, campaign_id)
        name = body.name or _("Copy of %(name)s", name=original.name)[:200]
        made = lifecycle.copy(session, campaign_id, name, now=call.now)
        call.audit(session, "campaign.copy", made.id, original=campaign_id)
        return call.say(201, brief(session, made), Location=f"/api/v1/campaigns/{made.id}")
