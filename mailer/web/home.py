"""Home: what is going out, what is next, how the last ones did, and what needs a person."""

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, render_template
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan import installation
from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.audience import List, Member
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, Provider, State
from kairan.models.jobs import Job, JobState
from mailer.campaigns.lifecycle import PAUSE_REASONS
from mailer.delivery import providers
from mailer.web import campaign_queries, edge

blueprint = Blueprint("home", __name__)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person."""

    kind: str
    title: str
    href: str
    verb: str


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
            needs=needs(session),
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


def needs(session: Session) -> list[Need]:
    return [*_paused(session), *_uncertain(session), *_providers(session), *_jobs(session)]


def _paused(session: Session) -> list[Need]:
    rows = session.scalars(
        select(Campaign).where(Campaign.status == CampaignStatus.PAUSED, Campaign.paused_reason.is_not(None)).order_by(Campaign.id)
    )
    return [
        Need(
            "bad",
            _("“%(name)s” was stopped: %(reason)s", name=row.name, reason=PAUSE_REASONS.get(row.paused_reason or "", row.paused_reason)),
            f"/campaigns/{row.id}/progress",
            _("Look and decide"),
        )
        for row in rows
    ]


def _uncertain(session: Session) -> list[Need]:
    recent = select(Campaign.id).where(Campaign.started_at > edge.now() - timedelta(days=60))
    rows = session.execute(
        select(Campaign.id, Campaign.name, func.count())
        .join(Delivery, Delivery.campaign_id == Campaign.id)
        .where(Campaign.id.in_(recent), Delivery.state == State.UNCERTAIN)
        .group_by(Campaign.id, Campaign.name)
        .order_by(Campaign.id)
    )
    return [
        Need(
            "warn",
            ngettext(
                "“%(name)s” has one delivery whose outcome is uncertain",
                "“%(name)s” has %(count)s deliveries whose outcome is uncertain",
                number,
                name=name,
            ),
            f"/campaigns/{campaign_id}/progress#uncertain",
            _("Decide"),
        )
        for campaign_id, name, number in rows
    ]


def _mail_servers() -> str:
    """The page of them that this person may see."""
    return "/settings/providers" if edge.can("settings.edit") else "/settings/about"


def _providers(session: Session) -> list[Need]:
    rows = session.scalars(select(Provider).where(Provider.broken_until > edge.now()).order_by(Provider.id))
    return [
        Need(
            "bad",
            _("The mail server %(host)s does not answer: %(error)s", host=row.host, error=row.last_error or ""),
            _mail_servers(),
            _("Show"),
        )
        for row in rows
    ]


def _jobs(session: Session) -> list[Need]:
    failed = session.scalar(select(func.count(Job.id)).where(Job.state == JobState.FAILED, Job.created_at > edge.now() - timedelta(days=3)))
    if not failed:
        return []
    return [Need("warn", ngettext("One background job failed", "%(count)s background jobs failed", failed), "/jobs", _("Show"))]


def check_list(session: Session) -> list[Step]:
    """Empty once everything is done."""
    organisation = installation.get(session, "organisation")
    steps = [
        Step(_("Say who sends: name, postal address, contact"), all(organisation.values()), "/settings", _("Fill in")),
        Step(_("Connect a mail server"), providers.any_enabled(session, edge.runtime().settings.smtp), _mail_servers(), _("How")),
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
