"""The list of campaigns, a new one, a copy, and the way out of the archive."""

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from kairan import installation
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.campaigns import labels, library, lifecycle
from mailer.campaigns.lifecycle import Reach
from mailer.campaigns.revisions import Content
from mailer.compose import starters
from mailer.compose.starters import Start
from mailer.web import campaign_queries, edge, paging
from mailer.web.forms import Form

blueprint = Blueprint("campaigns", __name__)


@blueprint.get("/campaigns")
@edge.allowed("campaign.view")
def show_list() -> edge.Answer:
    with edge.reading() as session:
        label = request.args.get("label", "").replace("\x00", "").strip()  # PostgreSQL has no text with a zero in it
        numbers = campaign_queries.tab_counts(session, label)
        tab = request.args.get("tab") or next((name for name in ("sending", "draft", "scheduled", "sent") if numbers[name]), "draft")
        if tab not in campaign_queries.TABS:
            abort(404)
        search = request.args.get("q", "").strip()
        found = campaign_queries.listed(session, tab, search, label, paging.after(), paging.SIZE + 1)
        page = paging.page(found, lambda campaign: campaign.id)
        ids = [campaign.id for campaign in page.rows]
        return render_template(
            "admin/campaigns.html",
            tab=tab,
            numbers=numbers,
            search=search,
            label=label,
            page=page,
            labels=labels.of(session, ids),
            subjects=campaign_queries.subjects(session, page.rows),
            lists=campaign_queries.list_names(session, ids),
            results=campaign_queries.results(session, ids if tab in ("sent", "sending") else []),
        )


@blueprint.get("/campaigns/new")
@edge.allowed("campaign.edit")
def new() -> str:
    return _new(None)


def _new(form: Form | None) -> str:
    wanted = form.values.get("start", "") if form else request.args.get("start", "")
    with edge.reading() as session:
        own = {f"own-{row.id}": row.name for row in library.templates(session)}
    chosen = wanted if wanted in starters.STARTS or wanted in own else starters.STARTS[0]
    return render_template("admin/campaign_new.html", form=form, chosen=chosen, own=own, blocks=starters.BLOCKS, sources=starters.SOURCES)


@blueprint.post("/campaigns/new")
@edge.allowed("campaign.edit")
def create() -> edge.Answer:
    form = Form(request.form)
    name = form.text("name", _("Name"))
    with edge.reading() as session:
        own = {f"own-{row.id}": Start(row.kind, row.content, row.subject, row.preheader) for row in library.templates(session)}
    start = form.choice("start", _("How to start"), (*starters.STARTS, *own))
    if not form.is_right:
        return _new(form), 422
    with edge.writing() as session:
        sender = installation.get(session, "sender")
        organisation = installation.get(session, "organisation")
        begun = own.get(start) or starters.start(start, organisation.get("name", ""))
        content = Content(
            subject=begun.subject,
            preheader=begun.preheader,
            from_name=sender.get("name") or organisation.get("name", ""),
            from_email=sender.get("email", ""),
            kind=begun.kind,
            content=begun.content,
        )
        campaign = lifecycle.create(session, name, Reach(), content, now=edge.now(), by=edge.signed_in().id)
        edge.audit(session, "campaign.create", campaign.id)
    return redirect(f"/campaigns/{campaign.id}/recipients", 303)


@blueprint.post("/campaigns/<int:campaign_id>/copy")
@edge.allowed("campaign.edit")
def copy(campaign_id: int) -> Response:
    with edge.writing() as session:
        original = session.get(Campaign, campaign_id) or abort(404)
        made = lifecycle.copy(session, campaign_id, _("Copy of %(name)s", name=original.name)[:200], now=edge.now(), by=edge.signed_in().id)
        edge.audit(session, "campaign.copy", made.id, original=campaign_id)
    return edge.back_to(f"/campaigns/{made.id}/content", _("This is a copy. The original is unchanged."))


@blueprint.get("/campaigns/<int:campaign_id>/edit")
@edge.allowed("campaign.view")
def go_on(campaign_id: int) -> Response:
    """Where a campaign's name leads: to the step that is next, to its progress, or to its report."""
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
    page = {
        CampaignStatus.DRAFT: "/content",
        CampaignStatus.SCHEDULED: "/progress",
        CampaignStatus.SENDING: "/progress",
        CampaignStatus.PAUSED: "/progress",
    }.get(CampaignStatus(campaign.status), "")
    return redirect(f"/campaigns/{campaign_id}{page}")
