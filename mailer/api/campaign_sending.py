"""A campaign's way by API: checked, tested, sent, paused, resumed, cancelled."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, CampaignStatus, SeriesState
from kairan.runtime import Runtime
from kairan.settings import SettingError
from mailer.api import schedules
from mailer.api.calls import Call, log, operation
from mailer.api.campaigns import CampaignBrief, brief, find, hold, not_now
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, with_findings
from mailer.api.schedules import Send
from mailer.api.shapes import Address, Given, Nothing, Shown
from mailer.audience import selection
from mailer.campaigns import jobs, lifecycle, preflight, schedule, series, test_send
from mailer.campaigns.schedule import Plan
from mailer.compose.findings import ContentError, Finding
from mailer.delivery import providers, system_mail


class TestAsked(Given):
    to: Annotated[list[Address], Field(min_length=1, max_length=test_send.ADDRESSES_MAX)]


class FindingShown(Shown):
    level: Literal["error", "warning"]
    rule: str
    message: str
    where: str


class Checked(Shown):
    findings: list[FindingShown]
    reached: int
    """members who would get it now"""
    left_out: dict[str, int]


class TestStarted(Shown):
    mails: int


class SendStarted(CampaignBrief):
    warnings: list[FindingShown]


def _shown(findings: list[Finding]) -> list[FindingShown]:
    return [FindingShown(**asdict(finding)) for finding in findings]


@operation(
    "POST", "/campaigns/{campaign_id}/preflight", "campaign.view", {200: Checked}, body=Nothing, problems=(404,)
)  # fmt: skip
def check(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """The check before a send: errors, which stop it, and warnings, which do not. Changes nothing."""
    with call.reading() as session:
        find(session, campaign_id)
        findings = preflight.check(session, campaign_id, call.ground.settings, now=call.now)
        reached, left_out = selection.count(session, campaign_id, call.now)
    call.say(200, Checked(findings=_shown(findings), reached=reached, left_out=left_out))
    with call.long_effect():
        return call.answer


@operation("POST", "/campaigns/{campaign_id}/test", "campaign.test", {202: TestStarted}, body=TestAsked, problems=(404,))
def test(call: Call, campaign_id: int, body: TestAsked) -> Answer:
    """Sends the mail to these addresses as a test, which counts nowhere."""
    with call.effect() as session:
        find(session, campaign_id)
        if not providers.any_enabled(session, call.ground.settings.smtp):
            missing_server = _("There is no mail server to send through. Add one in the settings.")
            raise with_findings([Finding("error", "no_provider", missing_server, "settings")], _("The test was not sent."))
        try:
            mails = test_send.write(session, call.ground, campaign_id, body.to, now=call.now)
        except ContentError as error:
            raise with_findings([error.finding], _("The test was not sent.")) from None
        call.audit(session, "campaign.test", campaign_id, addresses=len(mails))
        call.then_ring(lambda: system_mail.ring(call.ground))
        return call.say(202, TestStarted(mails=len(mails)))


@operation("POST", "/campaigns/{campaign_id}/send", "campaign.send", {202: SendStarted}, body=Send, problems=(404, 409))
def send(call: Call, campaign_id: int, body: Send) -> Answer:
    """Checks the campaign and sends it: now, at a time, at each member's, or again and again. Errors of the check answer 422 with all
    findings, and nothing is sent. A recurring one stays a draft, the pattern of its series; its occurrences are campaigns of their own."""
    with call.reading() as session:
        plan = schedules.plan_of(session, body, call.now)
        campaign = find(session, campaign_id)
        if campaign.status != CampaignStatus.DRAFT:
            raise not_now(campaign.status)
        checked = campaign.revision, campaign.updated_at
        findings = preflight.check(session, campaign_id, call.ground.settings, now=call.now, plan=plan)
    if preflight.has_errors(findings):
        raise with_findings(findings, _("Nothing was sent: some findings must be put right first."))
    with call.effect() as session:
        held = hold(session, campaign_id)
        is_as_checked = (held.revision, held.updated_at) == checked
        try:
            _set_up(session, campaign_id, plan, call.now)
        except lifecycle.MoveRefused as refused:
            raise not_now(refused.status) from None
        if not is_as_checked:
            raise Problem(409, _("Somebody saved in between. Check the campaign and send it again."), code="revision-conflict")
        call.audit(session, "campaign.send", campaign_id, warnings=[finding.rule for finding in findings])
        if held.status == CampaignStatus.SCHEDULED and held.due_at is not None and held.due_at <= call.now:
            call.then_ring(lambda: jobs.ring_start(call.ground))
        found = brief(session, held)
        return call.say(202, SendStarted(**found.model_dump(), warnings=_shown(findings)))


def _set_up(session: Session, campaign_id: int, plan: Plan, now: datetime) -> None:
    """Raises MoveRefused."""
    if plan.rule is not None:
        series.begin(session, campaign_id, plan, now=now)
    else:
        schedule.set_up(session, campaign_id, plan, now=now, undo=False)
    session.refresh(session.get_one(Campaign, campaign_id))


@operation("POST", "/campaigns/{campaign_id}/pause", "campaign.send", {200: CampaignBrief}, body=Nothing, problems=(404, 409))
def pause(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """Pauses. Once this is answered, no mail of the campaign starts any more. The pattern of a series: no further one is made."""
    if _is_series(call, campaign_id):
        return _move_series(call, campaign_id, "series.pause", series.pause)
    return _move(call, campaign_id, "campaign.pause", jobs.pause, (CampaignStatus.SENDING,))


@operation("POST", "/campaigns/{campaign_id}/resume", "campaign.send", {200: CampaignBrief}, body=Nothing, problems=(404, 409))
def resume(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """Goes on with a paused campaign, with what was edited meanwhile, or with a paused series."""
    if _is_series(call, campaign_id):
        return _move_series(call, campaign_id, "series.resume", series.resume)
    return _move(call, campaign_id, "campaign.resume", jobs.resume, (CampaignStatus.PAUSED,))


@operation("POST", "/campaigns/{campaign_id}/cancel", "campaign.send", {200: CampaignBrief}, body=Nothing, problems=(404, 409))
def cancel(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """Ends the campaign, or a series. Once this is answered, no mail of it starts any more, and what was waiting is cancelled."""
    if _is_series(call, campaign_id):
        return _move_series(call, campaign_id, "series.end", series.end)
    before = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED)
    return _move(call, campaign_id, "campaign.cancel", jobs.cancel, before)


def _is_series(call: Call, campaign_id: int) -> bool:
    """Of a pattern whose series has not ended the series is meant: it is no campaign that could be on its way."""
    with call.reading() as session:
        campaign = find(session, campaign_id)
        row = series.of(session, campaign)
        return row is not None and series.is_pattern(campaign) and row.state != SeriesState.ENDED


def _move_series(call: Call, campaign_id: int, action: str, act: Callable[..., None]) -> Answer:
    with call.effect() as session:
        campaign = hold(session, campaign_id)
        try:
            act(session, campaign.series_id, now=call.now)
        except lifecycle.MoveRefused as refused:
            raise not_now(refused.status) from None
        call.audit(session, action, campaign.series_id)
        return call.say(200, brief(session, campaign))


def _move(
    call: Call, campaign_id: int, action: str, act: Callable[[Runtime, int], None], before: tuple[CampaignStatus, ...]
) -> Answer:  # fmt: skip
    with call.long_effect():
        # Asked first: resume compiles before it moves, and a draft's programs would be kept for the mail it is going to be.
        with call.reading() as session:
            status = find(session, campaign_id).status
        if status not in before:
            raise not_now(status)
        try:
            act(call.ground, campaign_id)
        except lifecycle.MoveRefused as refused:
            raise not_now(refused.status) from None
        except ContentError as error:
            raise with_findings([error.finding], _("Nothing goes on: the mail cannot be made.")) from None
        except (SettingError, RedisError, OSError):
            log.warning("a bell could not be rung: Redis does not answer")  # rung after the commit, and the sweep rings again
        with call.ground.writing() as session:
            call.audit(session, action, campaign_id)
            return call.say(200, brief(session, find(session, campaign_id)))
