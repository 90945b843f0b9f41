"""A mail as a member would get it, in a frame with a policy of its own: style yes, script never, nothing recorded."""

from collections.abc import Callable
from dataclasses import replace

from flask import Blueprint, abort, make_response, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.models.audience import Member, Subscription
from kairan.models.campaigns import Campaign, CampaignList
from mailer.campaigns import compilation, revisions
from mailer.compose import compiler, merge
from mailer.compose.nodes import Nodes
from mailer.compose.program import render
from mailer.compose.recipient import Recipient
from mailer.compose.source import Source, scope, subject
from mailer.web import edge, member_queries, versions
from mailer.web.forms import Form
from mailer.web.gatekeeper import MAIL_CSP

blueprint = Blueprint("previews", __name__)
VIEWS = ("desktop", "phone", "dark", "forced", "bare", "text")
"""forced: as programs that turn every colour round show it, an approximation by the page's own style; bare: without pictures"""


def views() -> list[tuple[str, str, str]]:
    """(view, its name, its icon)"""
    return [
        ("desktop", _("Desktop"), "monitor"), ("phone", _("Phone"), "smartphone"), ("dark", _("Dark"), "moon"),
        ("forced", _("Colours reversed"), "sun-moon"), ("bare", _("Without pictures"), "circle-slash"), ("text", _("Text"), "file-text"),
    ]  # fmt: skip


@blueprint.route("/campaigns/<int:campaign_id>/preview", methods=["GET", "POST"])
@edge.allowed("campaign.view")
def preview(campaign_id: int) -> Response:
    """GET shows what is saved, POST what is typed and not saved yet."""
    form = Form(request.form if request.method == "POST" else request.args)
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        held = revisions.content_of(revisions.current(session, campaign))
        source = compilation.source_of(session, campaign, edge.runtime().settings.base_url, versions.asked(held))
        recipient = sample(session, campaign_id, request.args.get("member", type=int))
    if request.method == "POST":
        source = _typed(source, form)
    return rendered(source, recipient, form.raw("view") or "desktop")


def rendered(source: Source, recipient: Recipient, view: str, link_ids: bool = False) -> Response:
    if view not in VIEWS:
        abort(404)
    try:
        language = i18n.best_language(recipient.locale or i18n.language())
        page = compiler.preview(source, recipient, language, dark=view == "dark", text=view == "text", link_ids=link_ids)
    except compiler.ContentError as error:
        page = render_template("admin/preview_error.html", error=error)
    answer = make_response(at_home(page, source.base_url))
    answer.headers["Content-Security-Policy"] = MAIL_CSP.replace("img-src 'self' data:", "img-src 'none'") if view == "bare" else MAIL_CSP
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


def at_home(page: str, base_url: str) -> str:
    """Our pictures from where the page itself comes: the address of the mails' links may be another host, which the policy keeps out."""
    return page.replace(f"{base_url}/m/", "/m/")


def _typed(source: Source, form: Form) -> Source:
    kind, content = form.raw("kind"), form.values.get("content", "").replace("\r\n", "\n")
    html, fault = compilation.html_of(kind, content, source.base_url, form.raw("subject"), source.shared)
    return replace(
        source,
        subject=form.raw("subject"),
        preheader=form.raw("preheader"),
        from_name=form.raw("from_name"),
        html=html,
        fault=fault,
        text=content if kind == "text" else form.values.get("text", "") or None,
    )


def asked_for(session: Session, search: str) -> Member | None:
    """The member that an address or the beginning of a name leads to; nobody for who may not see members."""
    if not search or not edge.can("member.address"):
        return None
    return session.scalars(select(Member).where(member_queries.matches(search)).order_by(Member.id).limit(1)).one_or_none()


def inbox_line(session: Session, campaign: Campaign, member_id: int | None, version: str) -> tuple[str, str]:
    """Subject and preheader as the member's inbox shows them; as typed where they cannot be rendered yet."""
    source = compilation.source_of(session, campaign, edge.runtime().settings.base_url, version)
    recipient = sample(session, campaign.id, member_id)
    return _rendered_line(lambda: subject(source), source.subject, recipient), _rendered_line(
        lambda: merge.parse(source.preheader, scope(source), "preheader", "text"), source.preheader, recipient
    )


def _rendered_line(parsed: Callable[[], Nodes], typed: str, recipient: Recipient) -> str:
    try:
        return render(parsed(), recipient)
    except compiler.ContentError:
        return typed


def sample(session: Session, campaign_id: int, member_id: int | None) -> Recipient:
    """The member asked for, else one of the lists, else somebody invented. Without addresses for who may not see them."""
    member = session.get(Member, member_id) if member_id and edge.can("member.address") else None
    if member is None and edge.can("member.address"):
        in_lists = (
            select(Subscription.member_id)
            .join(CampaignList, CampaignList.list_id == Subscription.list_id)
            .where(CampaignList.campaign_id == campaign_id, CampaignList.excluded.is_(False), Subscription.ended_at.is_(None))
            .order_by(Subscription.member_id)
            .limit(1)
        )
        member = session.scalars(select(Member).where(Member.id == in_lists.scalar_subquery())).one_or_none()
    if member is None:
        names = ("花子", "佐藤") if i18n.language() == "ja" else ("Hanako", "Sato")
        return Recipient(0, 0, "hanako@example.org", *names, i18n.language(), {})
    return Recipient(0, member.id, member.email, member.first_name, member.last_name, member.locale, member.attributes)
