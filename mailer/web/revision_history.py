"""What a campaign said before: every save, as the mail it was, with what changed, and back again."""

from dataclasses import asdict, replace

from flask import Blueprint, abort, render_template
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.models.accounts import Account
from kairan.models.campaigns import Campaign, CampaignStatus, Revision
from mailer.campaigns import compilation, revisions
from mailer.campaigns.revisions import Content
from mailer.compose.source import Source
from mailer.web import edge, paging, previews

blueprint = Blueprint("revision_history", __name__)


@blueprint.get("/campaigns/<int:campaign_id>/revisions")
@edge.allowed("campaign.view")
def show_list(campaign_id: int) -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        query = (
            select(Revision, Account.email)
            .outerjoin(Account, Account.id == Revision.saved_by)
            .where(Revision.campaign_id == campaign_id)
            .order_by(Revision.number.desc())
            .limit(paging.SIZE + 2)
        )
        if after := paging.after():
            query = query.where(Revision.number < after)
        found = list(session.execute(query))
        # Each beside the one before it, of which the page has one more.
        rows = [(row, author, _changed(row, found[at + 1][0] if at + 1 < len(found) else None)) for at, (row, author) in enumerate(found)]
    page = paging.page(rows[: paging.SIZE + 1], lambda entry: entry[0].number)
    return render_template("admin/revisions.html", campaign=campaign, page=page, can_restore=_may_change(campaign))


def _changed(revision: Revision, before: Revision | None) -> list[str]:
    """What is another than in the revision before."""
    if before is None:
        return []
    names = {
        "subject": _("Subject"), "preheader": _("Preheader"), "from_name": _("Sender name"), "from_email": _("Sender address"),
        "reply_to": _("Answers go to"), "kind": _("Kind"), "content": _("Content"), "text": _("Own plain-text part"),
        "versions": _("Versions"),
    }  # fmt: skip
    mine, theirs = asdict(revisions.content_of(revision)), asdict(revisions.content_of(before))
    return [label for name, label in names.items() if mine[name] != theirs[name]]


def _may_change(campaign: Campaign) -> bool:
    return campaign.status in (CampaignStatus.DRAFT, CampaignStatus.PAUSED) and edge.can("campaign.edit")


@blueprint.get("/campaigns/<int:campaign_id>/revisions/<int:number>")
@edge.allowed("campaign.view")
def show(campaign_id: int, number: int) -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        revision = _find(session, campaign_id, number)
        return render_template("admin/revision.html", campaign=campaign, revision=revision, can_restore=_may_change(campaign))


@blueprint.get("/campaigns/<int:campaign_id>/revisions/<int:number>/preview")
@edge.allowed("campaign.view")
def preview(campaign_id: int, number: int) -> Response:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        source = compilation.source_of(session, campaign, edge.runtime().settings.base_url)
        recipient = previews.sample(session, campaign_id, None)
        source = _said(source, revisions.content_of(_find(session, campaign_id, number)))
    return previews.rendered(source, recipient, "desktop" if source.has_html else "text")


def _said(source: Source, content: Content) -> Source:
    html, fault = compilation.html_of(content.kind, content.content, source.base_url, content.subject, source.shared)
    text = content.content if content.kind == "text" else content.text
    return replace(
        source, subject=content.subject, preheader=content.preheader, from_name=content.from_name, html=html, fault=fault, text=text
    )


@blueprint.post("/campaigns/<int:campaign_id>/revisions/<int:number>/restore")
@edge.allowed("campaign.edit")
def restore(campaign_id: int, number: int) -> Response:
    """The old words as a new revision: what was written since stays in the history."""
    with edge.writing() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        content = asdict(revisions.content_of(_find(session, campaign_id, number)))
        try:
            saved = revisions.save(session, campaign_id, campaign.revision, content, now=edge.now(), by=edge.signed_in().id)
        except (revisions.RevisionConflict, revisions.NotEditable):
            abort(409)
        edge.audit(session, "campaign.restore", campaign_id, revision=number, to=saved.number)
    return edge.back_to(
        f"/campaigns/{campaign_id}/content", _("The campaign says again what it said in revision %(number)s.", number=number)
    )


def _find(session: Session, campaign_id: int, number: int) -> Revision:
    return session.get(Revision, (campaign_id, number)) or abort(404)
