"""Test sends, sending, scheduling: what the review step's buttons do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, flash, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.outbox import OutboxMail
from mailer.audience import selection
from mailer.campaigns import lifecycle, preflight, test_send
from mailer.compose.findings import ContentError
from mailer.delivery import providers, system_mail
from mailer.web import edge, previews
from mailer.web.forms import Form

blueprint = Blueprint("sending", __name__)
TESTS_MAX = 10


def recent_tests(session: Session, campaign_id: int) -> list[OutboxMail]:
    query = select(OutboxMail).where(OutboxMail.campaign_id == campaign_id, OutboxMail.kind == "test").order_by(OutboxMail.id.desc())
    return list(session.scalars(query.limit(TESTS_MAX)))


@blueprint.post("/campaigns/<int:campaign_id>/test")
@edge.allowed("campaign.test")
def test(campaign_id: int) -> edge.Answer:
    from mailer.web import campaign_steps

    form = Form(request.form)
    addresses = _addresses(form)
    if form.is_right:
        problem = _send_tests(campaign_id, addresses)
        if problem is None:
            message = ngettext("The test goes to one address.", "The test goes to %(count)s addresses.", len(addresses))
            return edge.back_to(f"/campaigns/{campaign_id}/review#test", message)
        form.wrong("to", problem)
    return campaign_steps.show_review(campaign_id, form), 422


def _addresses(form: Form) -> list[str]:
    from kairan import addresses

    given = [part for part in form.raw("to").replace(",", " ").replace(";", " ").replace("、", " ").split() if part]
    if not given:
        form.wrong("to", _("Enter at least one address."))
    if len(given) > TESTS_MAX:
        form.wrong("to", _("A test goes to %(count)s addresses at most.", count=TESTS_MAX))
    for address in given:
        try:
            addresses.normal(address)
        except addresses.AddressError as error:
            form.wrong("to", _("“%(address)s” is not a mail address: %(reason)s", address=address, reason=error))
    return given


def _send_tests(campaign_id: int, addresses: list[str]) -> str | None:
    """Why it cannot be sent, or None."""
    ground = edge.runtime()
    try:
        with edge.writing() as session:
            if not providers.any_enabled(session, ground.settings.smtp):
                return _("There is no mail server to send through. Add one in the settings.")
            test_send.write(session, ground, campaign_id, addresses, now=edge.now(), sample=previews.sample(session, campaign_id, None))
            edge.audit(session, "campaign.test", campaign_id, addresses=len(addresses))
    except ContentError as error:
        return error.message
    edge.ring(lambda: system_mail.ring(ground))
    return None


# ---- when


@blueprint.get("/campaigns/<int:campaign_id>/send")
@edge.allowed("campaign.send")
def ask(campaign_id: int) -> edge.Answer:
    """Asks again, naming how many get it and when."""
    form = Form(request.args)
    due = _due(form)
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        findings = preflight.check(session, campaign_id, edge.runtime().settings, now=edge.now())
        reached, _left_out = selection.count(session, campaign_id, edge.now())
    if campaign.status != CampaignStatus.DRAFT:
        return edge.back_to(f"/campaigns/{campaign_id}/progress")
    if preflight.has_errors(findings):
        return edge.back_to(f"/campaigns/{campaign_id}/review", _("Some findings must be put right first."), "bad")
    if not form.is_right:
        return edge.back_to(f"/campaigns/{campaign_id}/review", next(iter(form.errors.values())), "bad")
    return render_template(
        "admin/campaign_send.html", campaign=campaign, form=form, due=due, findings=findings, reached=reached, zone=edge.zone().key
    )


@blueprint.post("/campaigns/<int:campaign_id>/send")
@edge.allowed("campaign.send")
def send(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    due = _due(form)
    if not form.is_right:
        return edge.back_to(f"/campaigns/{campaign_id}/review", next(iter(form.errors.values())), "bad")
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
        findings = preflight.check(session, campaign_id, edge.runtime().settings, now=edge.now())
        if preflight.has_errors(findings) or (findings and not form.yes("seen")):
            return edge.back_to(f"/campaigns/{campaign_id}/review", _("Look at the findings first."), "bad")
        try:
            _schedule(session, campaign_id, form, due)
        except lifecycle.MoveRefused:
            flash(_("It was sent already; nothing happens twice."), "info")
        else:
            edge.audit(session, "campaign.send", campaign_id, warnings=[finding.rule for finding in findings])
    return edge.back_to(f"/campaigns/{campaign_id}/progress")


def _schedule(session: Session, campaign_id: int, form: Form, due: datetime | None) -> None:
    if due is None:
        at = edge.now() + timedelta(seconds=lifecycle.UNDO_S)
        lifecycle.schedule(session, campaign_id, at, now=edge.now())
        return
    lifecycle.schedule(session, campaign_id, due, now=edge.now(), wall=form.raw("at")[:16], zone=edge.zone().key)


def _due(form: Form) -> datetime | None:
    """When it is to go: None is now."""
    if form.choice("when", _("When"), ("now", "later")) != "later":
        return None
    wall = form.wall_time("at", _("Date and time"))
    if wall is None:
        return None
    due = moment_of(wall, edge.zone())
    if due <= edge.now():
        form.wrong("at", _("%(time)s is over. Choose a later time.", time=i18n.moment(due, edge.zone())))
    return due


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """A wall time that a clock change skips becomes the next minute there is; of one that comes twice, the first."""
    moved = wall.replace(tzinfo=None)
    for _minute in range(24 * 60):
        moment = moved.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == moved:
            return moment
        moved += timedelta(minutes=1)
    raise ValueError(f"{zone.key} skips a whole day at {wall}")
