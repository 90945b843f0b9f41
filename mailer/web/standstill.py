"""Why a campaign stands still and what a person can do about it: the sentence, the page where it is mended, the provider behind it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Provider
from mailer.delivery import providers
from mailer.web import edge


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, and the page that does it; without one (or where the role does not cover it) there is only the sentence."""

    text: str
    verb: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Through:
    """What a provider made of a campaign's mails. `id` is None for one that was deleted."""

    id: int | None
    name: str
    counts: dict[str, int]
    broken_until: datetime | None


def advice(session: Session, campaign: Campaign) -> Advice:
    """For a paused campaign."""
    found = _advice(session, campaign)
    settings_page = found.href.startswith("/settings/")
    allowed = edge.can("settings.edit") if settings_page else edge.can("campaign.edit") if found.href else True
    return found if allowed else Advice(found.text)


def _advice(session: Session, campaign: Campaign) -> Advice:
    here = f"/campaigns/{campaign.id}"
    match campaign.paused_reason:
        case "login_refused":
            return Advice(_("Enter its password again and try it out; then resume."), _("Open the mail server"), _failing(session))
        case "policy":
            text = _("Ask whoever runs the mail server; often SPF, DKIM or DMARC of the sending domain is wrong. Then resume.")
            return Advice(text, _("Check the sending domain"), "/settings/domains")
        case "sender_refused":
            return Advice(_("Choose a sender that the mail server accepts; then resume."), _("Change the sender"), f"{here}/content")
        case "bounces":
            text = _("Addresses that do not exist get no further mail. Look at the lists of this campaign before you resume.")
            return Advice(text, _("Look at the lists"), "/audience/lists")
        case "complaints":
            text = _("Ask whether these members expect this mail. Change it and resume, or cancel it.")
            return Advice(text, _("Change the content"), f"{here}/content")
        case "segment":
            return Advice(_("Change the segment; then resume."), _("Look at the segments"), "/audience/segments")
        case "findings":
            return Advice(_("Put the findings right; then resume."), _("See the findings"), f"{here}/review")
        case _:
            return Advice(_only_words(campaign.paused_reason))


def _only_words(reason: str | None) -> str:
    return {
        "disk": _("Make room on that machine; then resume."),
        "journal": _("Make room on the disk of the journal folder, or replace it; then resume."),
        "clock": _("Let the machine synchronise its clock (NTP); then resume."),
        "late": _("Resume to send it now, or cancel it."),
        "missed": _("Resume to send it now, or cancel it."),
        "restored": _("See in the log of the mail server what went out since the backup; then resume or cancel."),
    }.get(reason or "", _("What is waiting stays waiting. You may edit the content and resume."))


def _failing(session: Session) -> str:
    """The page of the provider that has trouble."""
    troubled = next((row for row in providers.enabled(session) if row.last_error), None)
    return f"/settings/providers/{troubled.id}" if troubled else "/settings/providers"


def of_providers(session: Session, counts: dict[int, dict[str, int]], now: datetime) -> list[Through]:
    """In the order of their use."""
    rows = list(session.scalars(select(Provider).order_by(Provider.position, Provider.id)))
    known = [
        Through(
            row.id,
            _("From the environment") if row.name == providers.ENVIRONMENT else row.name,
            counts.get(row.id, {}),
            row.broken_until if providers.is_broken(row, now) and row.enabled else None,
        )
        for row in rows
        if row.id in counts or (row.enabled and providers.is_broken(row, now))
    ]
    gone = [
        Through(None, _("Deleted mail server"), each, None) for number, each in counts.items() if number not in {row.id for row in rows}
    ]
    return known + gone
