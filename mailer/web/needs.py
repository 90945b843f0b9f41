"""What needs a person, for Home: campaigns that stopped, deliveries to decide on, mail servers, DNS, mail that waits for tomorrow."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.jobs import Job, JobState
from kairan.models.sending import SendingDomain
from mailer.campaigns.lifecycle import PAUSE_REASONS
from mailer.delivery import providers, sender_dns
from mailer.reports import tallies
from mailer.web import edge

UNCERTAIN_WITHIN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person."""

    kind: str
    title: str
    href: str
    verb: str


def found(session: Session) -> list[Need]:
    troubled = _providers(session)
    waits = [] if troubled else _waiting(session)
    return [*_paused(session), *_uncertain(session), *troubled, *waits, *_domains(session), *_jobs(session)]


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
    states = [CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.SENT]
    recent = select(Campaign.id, Campaign.name).where(Campaign.status.in_(states), Campaign.started_at > edge.now() - UNCERTAIN_WITHIN)
    counted = [
        (row.id, row.name, tallies.tally(session, row.id).states["uncertain"]) for row in session.execute(recent.order_by(Campaign.id))
    ]
    return [
        Need(
            "warn",
            ngettext(
                "“%(name)s” has one delivery whose outcome is uncertain",
                "“%(name)s” has %(count)s deliveries whose outcome is uncertain",
                number,
                name=name,
            ),
            f"/campaigns/{campaign_id}/uncertain" if edge.can("member.view") else f"/campaigns/{campaign_id}/progress#uncertain",
            _("Decide"),
        )
        for campaign_id, name, number in counted
        if number
    ]


def mail_servers_page() -> str:
    """The page of them that this person may see."""
    return "/settings/providers" if edge.can("settings.edit") else "/settings/about"


def _providers(session: Session) -> list[Need]:
    failing = [row for row in providers.enabled(session) if providers.is_broken(row, edge.now())]
    return [
        Need(
            "bad",
            _("Nothing can be sent through the mail server %(host)s: %(error)s", host=row.host, error=row.last_error or ""),
            f"/settings/providers/{row.id}" if edge.can("settings.edit") else mail_servers_page(),
            _("Show"),
        )
        for row in failing
    ]


def _waiting(session: Session) -> list[Need]:
    """Mail that may not start now although somebody wants it to."""
    going = session.scalars(select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING)).all()
    states = [tallies.tally(session, campaign_id).states for campaign_id in going]
    waiting = sum(counts["queued"] + counts["deferred"] for counts in states)
    why = providers.why_waiting(session, edge.now(), waiting=waiting) if waiting else None
    return [Need("warn", why, mail_servers_page(), _("Show"))] if why else []


def _domains(session: Session) -> list[Need]:
    if not edge.can("settings.edit"):
        return []
    needs = []
    for row in session.scalars(select(SendingDomain).order_by(SendingDomain.domain)):
        wrong = sum(held["state"] in (sender_dns.MISSING, sender_dns.DIFFERS) for held in row.findings)
        if wrong:
            title = ngettext(
                "One DNS record of %(domain)s is missing or wrong",
                "%(count)s DNS records of %(domain)s are missing or wrong",
                wrong,
                domain=row.domain,
            )
            needs.append(Need("warn", title, f"/settings/domains/{row.id}", _("Show")))
    return needs


def _jobs(session: Session) -> list[Need]:
    failed = session.scalar(select(func.count(Job.id)).where(Job.state == JobState.FAILED, Job.created_at > edge.now() - timedelta(days=3)))
    if not failed:
        return []
    return [Need("warn", ngettext("One background job failed", "%(count)s background jobs failed", failed), "/jobs", _("Show"))]
