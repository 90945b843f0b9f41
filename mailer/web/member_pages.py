"""Pages for members beside their choices: the mail in a browser, and what mails record. No sign-in, no cookie, no script."""

from dataclasses import replace

from flask import Blueprint, abort, render_template
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n, installation
from kairan.models.audience import Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery
from kairan.tokens import Act, TokenError
from mailer.campaigns import compilation
from mailer.compose.recipient import Recipient
from mailer.compose.source import Source
from mailer.web import edge, previews
from mailer.web.gatekeeper import MAIL_CSP
from tracking import retention

blueprint = Blueprint("member_pages", __name__)
RETENTION_MONTHS = retention.MONTHS


@blueprint.get("/about/tracking")
@edge.anyone
def about_tracking() -> str:
    """In plain words what is recorded, why, how long, and how to refuse; linked from every mail's footer."""
    with edge.reading() as session:
        organisation = installation.get(session, "organisation")
    return render_template("public/about_tracking.html", organisation=organisation, retention_months=RETENTION_MONTHS)


@blueprint.get("/v/<token>")
@edge.anyone
def view_in_browser(token: str) -> Response:
    """The mail as this member got it, without beacon and tracked links: looking at it counts nothing."""
    try:
        act = edge.runtime().secrets.tokens.read_act(token)
    except TokenError:
        abort(404)
    with edge.reading() as session:
        source, recipient = _mail_of(session, act)
    answer = previews.rendered(source, recipient, "desktop")
    answer.headers["Content-Security-Policy"] = MAIL_CSP.replace("frame-ancestors 'self'", "frame-ancestors 'none'").replace(
        "sandbox allow-same-origin", "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
    )
    answer.headers["Cache-Control"] = "private, no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _mail_of(session: Session, act: Act) -> tuple[Source, Recipient]:
    campaign, member = session.get(Campaign, act.campaign_id), session.get(Member, act.member_id)
    if campaign is None or member is None or campaign.status in (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED):
        abort(404)
    i18n.set_language(member.locale or i18n.language())
    mine = select(Delivery.number).where(Delivery.campaign_id == campaign.id, Delivery.member_id == member.id).limit(1)
    version = compilation.version_for(session, campaign, i18n.language(), session.execute(mine).scalar_one_or_none())
    source = compilation.source_of(session, campaign, edge.runtime().settings.base_url, version)
    recipient = Recipient(0, member.id, member.email, member.first_name, member.last_name, member.locale, member.attributes)
    return replace(source, record_opens=False, record_clicks=False), recipient
