"""Home: what is going out, what is next, how the last ones did, and what needs a person."""

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, render_template
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan import installation
from kairan.i18n import gettext as _
from kairan.models.audience import List, Member
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.delivery import providers
from mailer.web import campaign_queries, edge, needs
from mailer.web.needs import mail_servers_page

blueprint = Blueprint("home", __name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the check list of the first days."""

    text: str
    done: bool
    href: str
    verb: str


@blueprint.get("/")
@edge.allowed("home.view")
def home() -> str:
    with edge.reading() as session:
        sent = _latest(session, CampaignStatus.SENT, 5)
        return render_template(
            "admin/home.html",
            needs=needs.found(session),
            steps=check_list(session),
            scheduled=list(
                session.scalars(select(Campaign).where(Campaign.status == CampaignStatus.SCHEDULED).order_by(Campaign.due_at).limit(5))
            ),
            drafts=_latest(session, CampaignStatus.DRAFT, 5),
            sent=sent,
            results=campaign_queries.results(session, [campaign.id for campaign in sent]),
            members=session.scalar(select(func.count(Member.id))),
            new_members=session.scalar(select(func.count(Member.id)).where(Member.created_at > edge.now() - timedelta(days=30))),
            going=campaign_queries.going_out(session),
        )


def _latest(session: Session, status: CampaignStatus, limit: int) -> list[Campaign]:
    return list(session.scalars(select(Campaign).where(Campaign.status == status).order_by(Campaign.updated_at.desc()).limit(limit)))


def check_list(session: Session) -> list[Step]:
    """Empty once everything is done."""
    organisation = installation.get(session, "organisation")
    steps = [
        Step(_("Say who sends: name, postal address, contact"), all(organisation.values()), "/settings", _("Fill in")),
        Step(_("Connect a mail server"), providers.any_enabled(session, edge.runtime().settings.smtp), mail_servers_page(), _("How")),
        Step(_("Make a list with its purpose"), session.scalar(select(List.id).limit(1)) is not None, "/audience/lists", _("Make")),
        Step(
            _("Bring in members with their consent"),
            session.scalar(select(Member.id).limit(1)) is not None,
            "/audience/imports",
            _("Import"),
        ),
        Step(
            _("Send the first campaign"),
            session.scalar(select(Campaign.id).where(Campaign.started_at.is_not(None)).limit(1)) is not None,
            "/campaigns/new",
            _("Write"),
        ),
    ]
    return [] if all(step.done for step in steps) else steps
