"""Test sends, sending, scheduling: what the review step's buttons do."""

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, flash, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import walltime
from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.outbox import OutboxMail
from mailer.audience import selection
from mailer.campaigns import lifecycle, preflight, schedule, series, test_send
from mailer.campaigns.schedule import Plan
from mailer.compose.findings import ContentError
from mailer.delivery import providers, system_mail
from mailer.web import edge, previews, when
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
    from mailer.web import campaign_steps

    form = Form(request.args)
    plan = when.read(form, edge.now())
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        if campaign.status != CampaignStatus.DRAFT:
            return edge.back_to(f"/campaigns/{campaign_id}/progress")
        findings = preflight.check(session, campaign_id, edge.runtime().settings, now=edge.now(), plan=plan)
        reached, _left_out = selection.count(session, campaign_id, edge.now())
    if plan is None:
        return campaign_steps.show_review(campaign_id, form), 422
    if preflight.has_errors(findings):
        return edge.back_to(f"/campaigns/{campaign_id}/review", next(one.message for one in findings if one.level == "error"), "bad")
    starts = max(plan.starts_at(edge.now()), edge.now() + schedule.UNDO)
    return render_template(
        "admin/campaign_send.html",
        campaign=campaign,
        carried=when.carried(form),
        plan=plan,
        words=when.plan_words(plan, starts),
        coming=_coming(plan),
        findings=findings,
        reached=reached,
    )


def _coming(plan: Plan) -> list[datetime]:
    """The first occurrences, as moments in the plan's zone."""
    if plan.rule is None:
        return []
    zone = ZoneInfo(plan.zone)
    moments = (walltime.moment_of(wall, zone) for wall in plan.rule.walls())
    return list(islice((moment for moment in moments if moment > edge.now()), 4))


@blueprint.post("/campaigns/<int:campaign_id>/send")
@edge.allowed("campaign.send")
def send(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    plan = when.read(form, edge.now())
    if plan is None:
        return edge.back_to(f"/campaigns/{campaign_id}/review", next(iter(form.errors.values())), "bad")
    then = f"/campaigns/{campaign_id}/progress"
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
        findings = preflight.check(session, campaign_id, edge.runtime().settings, now=edge.now(), plan=plan)
        if preflight.has_errors(findings) or (findings and not form.yes("seen")):
            return edge.back_to(f"/campaigns/{campaign_id}/review", _("Look at the findings first."), "bad")
        try:
            then = _set_up(session, campaign_id, plan)
        except lifecycle.MoveRefused:
            flash(_("It was sent already; nothing happens twice."), "info")
        else:
            edge.audit(session, "campaign.send", campaign_id, warnings=[finding.rule for finding in findings])
    return edge.back_to(then)


def _set_up(session: Session, campaign_id: int, plan: Plan) -> str:
    """The page that shows what comes of it. Raises MoveRefused."""
    if plan.rule is None:
        schedule.set_up(session, campaign_id, plan, now=edge.now(), undo=True)
        return f"/campaigns/{campaign_id}/progress"
    return f"/campaigns/series/{series.begin(session, campaign_id, plan, now=edge.now(), by=edge.signed_in().id).id}"
