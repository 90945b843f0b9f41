"""Deliveries of unknown outcome: who they are to, and what a person decides on one, on those chosen, or on all."""

from dataclasses import dataclass

from flask import Blueprint, abort, render_template, request
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import State
from mailer.campaigns import decisions
from mailer.delivery import uncertain
from mailer.reports import tallies
from mailer.web import edge, paging

blueprint = Blueprint("uncertain", __name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form asks for: `numbers` is None for all of them."""

    again: bool
    numbers: list[int] | None

    @property
    def decision(self) -> str:
        return "again" if self.again else "arrived"


@blueprint.get("/campaigns/<int:campaign_id>/uncertain")
@edge.allowed("member.view")
def show(campaign_id: int) -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        total, within = _standing(session, campaign_id)
        found = uncertain.listed(session, campaign_id, within=within, after=paging.after() or 0, limit=paging.SIZE + 1) if total else []
    page = paging.page(found, lambda row: row.number)
    return render_template("admin/uncertain.html", campaign=campaign, page=page, total=total)


def _standing(session: Session, campaign_id: int) -> tuple[int, list[int]]:
    """How many there are, and in which chunks; none named: it is not known."""
    tally = tallies.tally(session, campaign_id)
    return tally.states["uncertain"], [number for number in tally.chunks_with(State.UNCERTAIN) if number]


@blueprint.get("/campaigns/<int:campaign_id>/uncertain/decide")
@edge.allowed("delivery.resolve")
def ask(campaign_id: int) -> edge.Answer:
    """Asks again, naming what will happen."""
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        total = _standing(session, campaign_id)[0]
    asked = _asked(request.args)
    if asked.numbers == []:
        return edge.back_to(f"/campaigns/{campaign_id}/uncertain", _("Choose at least one delivery."), "warn")
    count = total if asked.numbers is None else len(asked.numbers)
    return render_template("admin/uncertain_decide.html", campaign=campaign, asked=asked, count=count)


@blueprint.post("/campaigns/<int:campaign_id>/uncertain")
@edge.allowed("delivery.resolve")
def decide(campaign_id: int) -> Response:
    with edge.reading() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
    asked = _asked(request.form)
    if asked.numbers == []:
        return edge.back_to(f"/campaigns/{campaign_id}/uncertain", _("Choose at least one delivery."), "warn")
    actor = f"account:{edge.signed_in().id}"
    try:
        count = decisions.decide(edge.runtime(), campaign_id, again=asked.again, actor=actor, numbers=asked.numbers)
    except decisions.CampaignOver:
        return edge.back_to(f"/campaigns/{campaign_id}/uncertain", _("This campaign is cancelled: nothing of it is sent again."), "warn")
    with edge.reading() as session:
        tallies.forget(session, campaign_id)
        left = _standing(session, campaign_id)[0]
    return edge.back_to(f"/campaigns/{campaign_id}/{'uncertain' if left else 'progress'}", _said(asked, count))


def _said(asked: Asked, count: int) -> str:
    if not count:
        return _("These deliveries are not uncertain any more.")
    if asked.again:
        return ngettext("One mail is sent again.", "%(count)s mails are sent again.", count)
    return ngettext("One delivery counts as arrived.", "%(count)s deliveries count as arrived.", count)


def _asked(given: MultiDict[str, str]) -> Asked:
    decision = given.get("decision")
    if decision not in ("arrived", "again"):
        abort(400)
    numbers = [int(value) for value in given.getlist("number") if value.isdigit()]
    return Asked(decision == "again", None if given.get("all") else numbers)
