"""While a campaign goes out: how far it is, why it stands still, and the buttons that hold it, end it or take it up again."""

from datetime import datetime
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import State
from mailer.campaigns import jobs, lifecycle
from mailer.delivery import providers
from mailer.reports import tallies
from mailer.reports.charts import state_bar
from mailer.web import campaign_queries, edge, standstill, versions
from mailer.web.campaign_queries import Counts

blueprint = Blueprint("campaign_progress", __name__)
DOMAINS_A_POLL, DOMAINS_A_PAGE = 1, 30
"""chunks of 2,000 whose recipient domains are counted (10 ms each)"""
MOVING = (CampaignStatus.SCHEDULED, CampaignStatus.SENDING)


@blueprint.get("/campaigns/<int:campaign_id>/progress")
@edge.allowed("campaign.view")
def progress(campaign_id: int) -> edge.Answer:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        if campaign.status == CampaignStatus.DRAFT:
            return redirect(f"/campaigns/{campaign_id}/review")
        g.campaign_shown = campaign_id
        page = "admin/_progress.html" if edge.is_fragment() else "admin/campaign_progress.html"
        return render_template(page, **figures(session, campaign))


def _trial(session: Session, campaign: Campaign) -> dict[str, Any]:
    """The test whose winner is not known, when it ends, and how its variants do."""
    trial = versions.live_trial(campaign)
    ends = datetime.fromisoformat(trial.ends_at) if trial and trial.ends_at else None
    return {"trial": trial, "trial_ends": ends, "variants": versions.rows(session, campaign) if trial else []}


def figures(session: Session, campaign: Campaign) -> dict[str, Any]:
    tally, now = tallies.tally(session, campaign.id), edge.now()
    tallies.count_domains(session, campaign.id, DOMAINS_A_POLL if edge.is_fragment() else DOMAINS_A_PAGE)
    counts, is_sending = Counts(tally.states), campaign.status == CampaignStatus.SENDING
    rate = tally.rate_per_s(now) if is_sending else 0.0
    left, waiting = counts["queued"] + counts["sending"], counts["queued"] + counts["deferred"]
    total = max(campaign.audience, counts.total)
    return {
        "campaign": campaign,
        "counts": counts,
        "total": total,
        "bar": state_bar([*counts.parts[:-1], ("queued", max(0, total - counts.ended))], title=_("Deliveries by state")),
        "rate": rate,
        "left_s": left / rate if rate >= 0.5 and left else None,
        "problems": tally.problems(),
        **_trial(session, campaign),
        "providers": standstill.of_providers(session, tally.providers, now),
        "domains": tally.domains(),
        "domains_made_of": tally.domains_made_of(),
        "waits": providers.why_waiting(session, now, campaign.id, waiting) if is_sending and waiting else None,
        "next_try": tally.next_due(State.DEFERRED),
        "next_mail": tally.next_due(State.QUEUED),
        "reason": lifecycle.PAUSE_REASONS.get(campaign.paused_reason or ""),
        "advice": standstill.advice(session, campaign) if campaign.status == CampaignStatus.PAUSED else None,
        "now": now,
        "is_moving": campaign.status in MOVING,
        "undo_s": max(0, int((campaign.due_at - now).total_seconds())) if campaign.due_at else 0,
    }


@blueprint.get("/campaigns/<int:campaign_id>/banner")
@edge.allowed("campaign.view")
def banner(campaign_id: int) -> str:
    """The strip on top of every page while this campaign goes out."""
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        return render_template("admin/_going_one.html", campaign=campaign_queries.going(session, campaign))


@blueprint.post("/campaigns/<int:campaign_id>/pause")
@edge.allowed("campaign.send")
def pause(campaign_id: int) -> Response:
    return _move(campaign_id, jobs.pause, "campaign.pause", _("Paused. No further mail starts."))


@blueprint.post("/campaigns/<int:campaign_id>/resume")
@edge.allowed("campaign.send")
def resume(campaign_id: int) -> Response:
    return _move(campaign_id, jobs.resume, "campaign.resume", _("It goes on."))


@blueprint.post("/campaigns/<int:campaign_id>/cancel")
@edge.allowed("campaign.send")
def cancel(campaign_id: int) -> Response:
    return _move(campaign_id, jobs.cancel, "campaign.cancel", _("Cancelled. What was still waiting is not sent."))


@blueprint.post("/campaigns/<int:campaign_id>/undo")
@edge.allowed("campaign.send")
def undo(campaign_id: int) -> Response:
    def back_to_draft(_ground: Any, number: int) -> None:
        with edge.writing() as session:
            lifecycle.unschedule(session, number, now=edge.now())

    return _move(campaign_id, back_to_draft, "campaign.undo", _("Nothing was sent. The campaign is a draft again."), then="review")


def _move(campaign_id: int, act: Any, action: str, message: str, then: str = "progress") -> Response:
    with edge.reading() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
    try:
        act(edge.runtime(), campaign_id)
    except lifecycle.MoveRefused as refused:
        from mailer.web.words import CAMPAIGN_STATUS

        status = CAMPAIGN_STATUS[str(refused.status)]
        return edge.back_to(
            f"/campaigns/{campaign_id}/progress", _("That is not possible now: the campaign is “%(status)s”.", status=status), "warn"
        )
    with edge.writing() as session:
        edge.audit(session, action, campaign_id)
    return edge.back_to(f"/campaigns/{campaign_id}/{then}", message)


@blueprint.get("/campaigns/<int:campaign_id>/cancel")
@edge.allowed("campaign.send")
def ask_cancel(campaign_id: int) -> str:
    """The question without script."""
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        counts = campaign_queries.counts(session, campaign_id)
    return render_template("admin/campaign_cancel.html", campaign=campaign, waiting=max(0, campaign.audience - counts.ended))
