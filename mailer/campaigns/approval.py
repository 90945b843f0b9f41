"""A second person's yes before a large campaign goes out: asked for, given to what it says at that moment, gone when that changes."""

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import i18n, installation, outbox
from kairan.addresses import AddressError
from kairan.i18n import gettext as _
from kairan.models.accounts import Account
from kairan.models.campaigns import Campaign, Series
from mailer.accounts.authorize import may
from mailer.campaigns import lifecycle, revisions

KIND = "approval"
ASKED_MAX = 10


class NotYours(Exception):
    """Who wrote it cannot approve it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Of a campaign as it was: `digest` stands for its words, members and test."""

    digest: str = ""
    asked_by: int | None = None
    asked_at: str | None = None
    given_by: int | None = None
    given_at: str | None = None


def above(session: Session) -> int | None:
    """The number of recipients above which a second person is needed; None: never."""
    found = installation.get(session, "approval_above")
    return found if isinstance(found, int) else None


def needed(session: Session, reached: int) -> bool:
    limit = above(session)
    return limit is not None and reached > limit


def of(campaign: Campaign) -> Approval:
    return Approval(**campaign.approval) if campaign.approval else Approval()


def digest(session: Session, campaign: Campaign) -> str:
    said = f"{campaign.revision}:{lifecycle.reach_of(session, campaign)}:{campaign.trial}"
    return blake2b(said.encode(), digest_size=16).hexdigest()


def stands(session: Session, campaign: Campaign) -> bool:
    """Somebody approved what the campaign says now; of an occurrence, what its pattern says."""
    series = session.get(Series, campaign.series_id) if campaign.series_id and campaign.occurrence else None
    asked = session.get_one(Campaign, series.pattern_id) if series else campaign
    found = of(asked)
    return found.given_by is not None and found.digest == digest(session, asked)


def ask(session: Session, campaign: Campaign, *, by: int, base_url: str, now: datetime) -> int:
    """Asks everybody else who may send. Returns how many mails that are; ring for system mail after the commit."""
    campaign.approval = asdict(Approval(digest(session, campaign), by, now.isoformat()))
    session.flush()
    others = select(Account).where(Account.disabled_at.is_(None), Account.id != by).order_by(Account.id)
    asked = [account for account in session.scalars(others) if may(account, "campaign.send")][:ASKED_MAX]
    return sum(_mail(session, account, campaign, base_url, now) for account in asked)


def give(session: Session, campaign: Campaign, *, by: int, now: datetime) -> None:
    """Raises NotYours."""
    if revisions.current(session, campaign).saved_by == by:
        raise NotYours
    held = of(campaign)
    campaign.approval = asdict(Approval(digest(session, campaign), held.asked_by, held.asked_at, by, now.isoformat()))
    session.flush()


def _mail(session: Session, account: Account, campaign: Campaign, base_url: str, now: datetime) -> int:
    sender = installation.get(session, "sender")
    address = sender.get("email") or account.email
    with i18n.speaking(account.language):
        subject = _("Please approve: %(name)s", name=campaign.name)
        words = _("The campaign “%(name)s” waits for a second person. Look at it and approve it here:", name=campaign.name)
    try:
        message = outbox.compose(
            sender_name=sender.get("name", ""), sender=address, recipient=account.email, subject=subject,
            text=f"{words}\n\n{base_url}/campaigns/{campaign.id}/review#approval\n",
            message_id=f"approval-{secrets.token_hex(12)}@{address.rpartition('@')[2]}", now=now,
        )  # fmt: skip
        outbox.put(session, kind=KIND, sender=address, recipient=account.email, message=message, now=now)
    except AddressError:  # an account's name that is no mailbox
        return 0
    return 1
