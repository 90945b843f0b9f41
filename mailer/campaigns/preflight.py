"""The check before a send: errors stop it, warnings are told and need a tick in the UI.

Content is judged by mailer.compose.content_check; here is what only campaign, audience and installation know.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import i18n, installation
from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign, CampaignList, CampaignStatus
from kairan.settings import Settings, base_is_public_or_loopback, is_loopback
from mailer.audience import segments, selection
from mailer.campaigns import approval, compilation, revisions, schedule, versions
from mailer.campaigns.schedule import Plan
from mailer.compose import content_check
from mailer.compose.findings import Finding
from mailer.delivery import providers, sender_dns, signing
from mailer.privacy import legal


def check(session: Session, campaign_id: int, settings: Settings, *, now: datetime, plan: Plan | None = None) -> list[Finding]:
    """All findings, errors first. A campaign with an error cannot be sent. `plan`: when it is to go, where that is known."""
    campaign = session.get_one(Campaign, campaign_id)
    source = compilation.source_of(session, campaign, settings.base_url)
    found = [
        *_installation(session, settings),
        *_audience(session, campaign, now),
        *_content(session, campaign, settings),
        *_trial(campaign, plan),
        *_sender(session, source.from_email),
        *_signing(session, source.from_email, settings, now),
        *_overlap(session, campaign, now),
        *_time(session, plan, now),
    ]
    return sorted(found, key=lambda finding: finding.level != "error")


def _content(session: Session, campaign: Campaign, settings: Settings) -> Iterator[Finding]:
    """What the content check says of each version that somebody would get."""
    held = revisions.content_of(revisions.current(session, campaign))
    parts = versions.parts(held)
    found = [content_check.check(compilation.source_of(session, campaign, settings.base_url, part.key)) for part in parts]
    shared = [finding for finding in found[0] if all(finding in each for each in found)]
    yield from shared
    for part, each in zip(parts, found, strict=True):
        for finding in each:
            if finding not in shared:
                message = _("Version %(name)s: %(finding)s", name=part.key.upper(), finding=finding.message)
                yield replace(finding, message=message, where=f"{finding.where}@{part.key}")
        yield from _version(held, part)


def _version(held: revisions.Content, part: versions.Part) -> Iterator[Finding]:
    name = part.key.upper()
    if part.key != versions.MAIN and part.content == versions.effective(held, versions.MAIN):
        message = _("Version %(name)s says the same as the mail that it is a version of. Change it, or remove it.", name=name)
        yield Finding("warning", "same_version", message, f"subject@{part.key}")
    # One envelope, one link host, one signature a campaign: they go by the domain.
    if part.content.from_email.rpartition("@")[2].lower() != held.from_email.rpartition("@")[2].lower():
        message = _("Version %(name)s comes from another domain. All versions of a campaign are sent from one.", name=name)
        yield Finding("error", "version_domain", message, f"from_email@{part.key}")


def _trial(campaign: Campaign, plan: Plan | None) -> Iterator[Finding]:
    if campaign.trial and plan is not None and plan.local_time:
        message = _("A test of variants and sending at each member's local time do not go together: choose one of them.")
        yield Finding("error", "trial_local_time", message, "versions")


def _time(session: Session, plan: Plan | None, now: datetime) -> Iterator[Finding]:
    over = schedule.members_over(session, plan, now) if plan else 0
    if over:
        yield Finding(
            "warning",
            "local_time_over",
            ngettext(
                "This time is over already in the zone of one member, who gets it as soon as it starts.",
                "This time is over already in the zones of %(count)s members, who get it as soon as it starts.",
                over,
            ),
            "review",
        )


def has_errors(findings: list[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)


def _installation(session: Session, settings: Settings) -> Iterator[Finding]:
    missing = legal.missing_lines(session)
    if missing:
        names = {"name": _("the organisation's name"), "address": _("its postal address"), "contact": _("a contact for complaints")}
        yield Finding(
            "error",
            "legal_lines",
            _("The law asks every mail to state who sends it. Set %(what)s in the settings.", what=", ".join(names[m] for m in missing)),
            "settings",
        )
    if not providers.any_enabled(session, settings.smtp):
        yield Finding(
            "error",
            "no_provider",
            _("There is no mail server to send through. Add one in the settings."),
            "settings",
        )
    if not base_is_public_or_loopback(settings.base_url):
        yield Finding("error", "base_url", _("Links in the mail would not be https. The operator sets KAIRAN_BASE_URL."), "settings")


def _audience(session: Session, campaign: Campaign, now: datetime) -> Iterator[Finding]:
    for name in segments.broken(session, campaign.id):
        yield Finding(
            "error",
            "segment",
            _("The segment “%(name)s” names a list or an attribute that is not there any more. Change it, or choose another.", name=name),
            "recipients",
        )
    reached, _left_out = selection.count(session, campaign.id, now)
    if reached == 0:
        yield Finding("error", "nobody", _("Nobody would get this mail. Choose a list with members who consented."), "recipients")
    if approval.needed(session, reached) and not approval.stands(session, campaign):
        limit = approval.above(session)
        message = _("More than %(count)s members would get this: a second person has to approve it first.", count=i18n.number(limit or 0))
        yield Finding("error", "approval", message, "approval")


def _sender(session: Session, from_email: str) -> Iterator[Finding]:
    organisation_sender = installation.get(session, "sender").get("email", "")
    domain = from_email.rpartition("@")[2].lower()
    if organisation_sender and domain != organisation_sender.rpartition("@")[2].lower():
        yield Finding(
            "warning",
            "sender_domain",
            _("The sender's domain is not the organisation's. Receivers may not trust it."),
            "from_email",
        )
    if domain in _FREE_MAIL:
        yield Finding(
            "warning",
            "free_mail",
            _("%(domain)s tells receivers to refuse mail that others send in its name. Use a domain of your own.", domain=domain),
            "from_email",
        )


# Domains whose DMARC policy is `reject` or `quarantine` for the world; from their own published records.
_FREE_MAIL = frozenset({"gmail.com", "yahoo.com", "yahoo.co.jp", "outlook.com", "hotmail.com", "icloud.com", "aol.com"})


def _signing(session: Session, from_email: str, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Not on an installation that only this machine reaches, such as the demo's: what it sends is for no receiver who looks at the DNS."""
    domain = from_email.rpartition("@")[2].lower()
    if not domain or is_loopback(urlsplit(settings.base_url).hostname):
        return
    row = signing.domain_of(session, from_email)
    if row is None or not signing.active_keys(session, row.id, now):
        yield Finding(
            "warning",
            "unsigned",
            _(
                "Mails from %(domain)s are not signed with DKIM. Receivers may take them for spam. See Settings, Sending domains.",
                domain=domain,
            ),
            "from_email",
        )
    wrong = sorted({name_of(finding.purpose) for finding in sender_dns.kept(row) if finding.state in sender_dns.WRONG}) if row else []
    if wrong:
        yield Finding(
            "warning",
            "sender_dns",
            _(
                "The DNS of %(domain)s was not as it should be when it was last looked at: %(what)s. See Settings, Sending domains.",
                domain=domain,
                what=", ".join(wrong),
            ),
            "from_email",
        )


def name_of(purpose: str) -> str:
    """Of a DNS record."""
    words = {"dkim": "DKIM", "spf": "SPF", "dmarc": "DMARC", "return_path": _("return path"), "link_host": _("link host")}
    return words[purpose]


def _overlap(session: Session, campaign: Campaign, now: datetime) -> Iterator[Finding]:
    """Another campaign of the last day goes to one of the same lists."""
    mine = select(CampaignList.list_id).where(CampaignList.campaign_id == campaign.id, CampaignList.excluded.is_(False))
    others = session.execute(
        select(Campaign.name)
        .join(CampaignList, CampaignList.campaign_id == Campaign.id)
        .where(
            Campaign.id != campaign.id,
            Campaign.status.in_([CampaignStatus.SENDING, CampaignStatus.SENT, CampaignStatus.PAUSED]),
            Campaign.started_at > now - timedelta(days=1),
            CampaignList.list_id.in_(mine),
            CampaignList.excluded.is_(False),
        )
        .distinct()
        .order_by(Campaign.name)
        .limit(5)
    ).scalars()
    names = list(others)
    if names:
        yield Finding(
            "warning",
            "overlap",
            ngettext(
                "Another campaign went to the same list within a day: %(names)s.",
                "%(count)s other campaigns went to the same lists within a day: %(names)s.",
                len(names),
                names=", ".join(names),
            ),
            "recipients",
        )
