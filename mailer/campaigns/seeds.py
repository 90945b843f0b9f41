"""Seed addresses: ours, at the mailboxes that matter, which get a copy of each campaign as it starts. Counted nowhere."""

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.addresses import AddressError
from kairan.models.campaigns import Campaign
from kairan.models.library import Seed
from kairan.runtime import Runtime
from mailer.campaigns import test_send
from mailer.compose.findings import ContentError

KIND = "seed"
SEEDS_MAX = 50

log = logging.getLogger(__name__)


class TooMany(ValueError):
    """More than SEEDS_MAX."""


def listed(session: Session) -> Sequence[str]:
    return session.scalars(select(Seed.email).order_by(Seed.id)).all()


def put(session: Session, given: Sequence[str], *, now: datetime) -> None:
    """Replaces them. Raises AddressError for the first that is none, TooMany."""
    wanted = list(dict.fromkeys(address.strip() for address in given if address.strip()))
    if len(wanted) > SEEDS_MAX:
        raise TooMany
    for address in wanted:
        addresses.normal(address)
    session.execute(delete(Seed).where(Seed.email.not_in(wanted)))
    there = set(listed(session))
    session.add_all(Seed(email=address, created_at=now) for address in wanted if address not in there)
    session.flush()


def send(session: Session, ground: Runtime, campaign: Campaign, *, now: datetime) -> int:
    """In the transaction that starts the campaign, so that a kill doubles none. Returns how many mails that are."""
    to = listed(session)
    if not to:
        return 0
    try:
        return len(test_send.write(session, ground, campaign.id, to, now=now, kind=KIND, mark=False))
    except (ContentError, AddressError) as error:  # what stops the campaign itself is said where it is compiled
        log.warning("no copies to seed addresses", extra={"campaign": campaign.id, "error": type(error).__name__})
        return 0
