"""A campaign's way by API: checked, tested, sent, paused, resumed, cancelled."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from redis.exceptions import RedisError

from kairan.i18n import gettext as _
from kairan.models.campaigns import CampaignStatus
from kairan.runtime import Runtime
from kairan.settings import SettingError
from mailer.api.calls import Call, log, operation
from mailer.api.campaigns import CampaignBrief, brief, find, hold, not_now
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, with_findings
from mailer.api.shapes import Address, Given, Moment, Nothing, Shown
from mailer.audience import selection
from mailer.campaigns import jobs, lifecycle, preflight, test_send
from mailer.compose.findings import ContentError, Finding
from mailer.delivery import providers, system_mail


class TestAsked(Given):
    to: Annotated[list[Address], Field(min_length=1, max_length=test_send.ADDRESSES_MAX)]


class Send(Given):
    """`at`: when, with its zone; without it at once."""

    at: Moment | None = None


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
    """Checks the campaign and sends it, now or at `at`. Errors of the check answer 422 with all findings, and nothing is sent."""
    _refuse_past(call.now, body.at)
    with call.reading() as session:
        campaign = find(session, campaign_id)
        if campaign.status != CampaignStatus.DRAFT:
            raise not_now(campaign.status)
        checked = campaign.revision, campaign.updated_at
        findings = preflight.check(session, campaign_id, call.ground.settings, now=call.now)
    if preflight.has_errors(findings):
        raise with_findings(findings, _("Nothing was sent: some findings must be put right first."))
    with call.effect() as session:
        held = hold(session, campaign_id)
        is_as_checked = (held.revision, held.updated_at) == checked
        try:
            lifecycle.schedule(session, campaign_id, body.at or call.now, now=call.now)
        except lifecycle.MoveRefused as refused:
            raise not_now(refused.status) from None
        if not is_as_checked:
            raise Problem(409, _("Somebody saved in between. Check the campaign and send it again."), code="revision-conflict")
        call.audit(session, "campaign.send", campaign_id, warnings=[finding.rule for finding in findings])
        if body.at is None:
            call.then_ring(lambda: jobs.ring_start(call.ground))
        found = brief(session, held)
        return call.say(202, SendStarted(**found.model_dump(), warnings=_shown(findings)))


def _refuse_past(now: datetime, at: datetime | None) -> None:
    if at is not None and at <= now:
        detail = _("This time is over. Choose a later one, or leave it out to send now.")
        raise Problem(422, errors=[{"pointer": "#/at", "detail": detail}])


@operation("POST", "/campaigns/{campaign_id}/pause", "campaign.send", {200: CampaignBrief}, body=Nothing, problems=(404, 409))
def pause(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """Pauses. Once this is answered, no mail of the campaign starts any more."""
    return _move(call, campaign_id, "campaign.pause", jobs.pause, (CampaignStatus.SENDING,))


@operation("POST", "/campaigns/{campaign_id}/resume", "campaign.send", {200: CampaignBrief}, body=Nothing, problems=(404, 409))
def resume(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """Goes on with a paused campaign, with what was edited meanwhile."""
    return _move(call, campaign_id, "campaign.resume", jobs.resume, (CampaignStatus.PAUSED,))


@operation("POST", "/campaigns/{campaign_id}/cancel", "campaign.send", {200: CampaignBrief}, body=Nothing, problems=(404, 409))
def cancel(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """Ends the campaign. Once this is answered, no mail of it starts any more, and what was waiting is cancelled."""
    before = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED)
    return _move(call, campaign_id, "campaign.cancel", jobs.cancel, before)


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
