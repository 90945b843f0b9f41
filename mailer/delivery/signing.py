"""Sending domains: which keys sign a From address, where its links and bounces go, and how one pair of keys follows another.

A key is NEW until the DNS shows its record (or a person insists), then ACTIVE, and RETIRED when the next one takes over. The record of a
retired key stays published for the days that mail may be on its way; its private half is gone at once.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import addresses, vault
from kairan.addresses import AddressError
from kairan.models.sending import DkimKey, KeyState, SendingDomain
from kairan.secrets import Secrets
from mailer.delivery import dkim
from mailer.delivery.dkim import Signer, SigningKey

OVERLAP = timedelta(days=7)
"""after which no mail that was signed before is still on its way (RFC 5321 4.5.4.1 asks relays to try 4 to 5 days)"""


log = logging.getLogger(__name__)


class RotationRunning(Exception):
    """There are keys already that wait for the DNS: a second pair beside them would only be more to publish."""


# ---- what mail asks


def domain_of(session: Session, from_email: str) -> SendingDomain | None:
    """The row of the address's domain, else of the nearest domain above it: DMARC aligns them (RFC 7489 3.1)."""
    try:
        labels = domain_name(from_email.rpartition("@")[2]).split(".")
    except AddressError:
        return None
    names = [".".join(labels[at:]) for at in range(len(labels) - 1)]
    found = session.execute(select(SendingDomain).where(SendingDomain.domain.in_(names))).scalars()
    return max(found, key=lambda row: len(row.domain), default=None)


def signer_for(session: Session, secrets: Secrets, from_email: str, now: datetime) -> Signer | None:
    """Signs for this From address with every active key of its domain; None where there is none."""
    row = domain_of(session, from_email)
    keys = [] if row is None else active_keys(session, row.id, now)
    if row is None or not keys:
        return None
    opened = vault.of(secrets)
    return Signer([SigningKey(row.domain, key.selector, key.algorithm, _private(opened, key)) for key in keys])


def _private(opened: vault.Vault, key: DkimKey) -> bytes:
    return opened.open(key.private_key or b"", _place(key))


def _place(key: DkimKey) -> str:
    return f"dkim_keys/{key.id}/private_key"


def active_keys(session: Session, domain_id: int, now: datetime) -> list[DkimKey]:
    return [key for key in keys_of(session, domain_id) if key.state == KeyState.ACTIVE and key.active_from and key.active_from <= now]


def link_base(session: Session, from_email: str, default: str) -> str:
    """Origin of the links in mails from this address: the domain's own link host, else the installation's."""
    row = domain_of(session, from_email)
    return f"https://{row.link_host}" if row is not None and row.link_host else default


def is_link_host(session: Session, host: str) -> bool:
    return session.execute(select(SendingDomain.id).where(SendingDomain.link_host == host).limit(1)).first() is not None


def envelope_sender(session: Session, from_email: str) -> str:
    """Who bounces go to: the domain's return path, else the From address."""
    row = domain_of(session, from_email)
    return row.return_path if row is not None and row.return_path else from_email


def signed_stored(session: Session, secrets: Secrets, message: bytes, now: datetime) -> bytes:
    """A mail of the outbox, signed for the domain of its From; unchanged where nothing signs for it.

    Outbox mails lie there with their dots doubled already (kairan.outbox.dot_safe), and signed is what the receiver reads.
    """
    sender = parseaddr(str(BytesHeaderParser().parsebytes(message).get("From", "")))[1]
    try:
        signer = signer_for(session, secrets, sender, now)
    except vault.SealBroken as error:  # a password mail that goes unsigned is better than none
        log.error("a signing key cannot be opened", extra={"error": str(error)})
        return message
    if signer is None:
        return message
    return signer.sign(message.replace(b"\r\n..", b"\r\n.")).replace(b"\r\n.", b"\r\n..")


# ---- keeping domains and keys


def keys_of(session: Session, domain_id: int) -> list[DkimKey]:
    return list(session.execute(select(DkimKey).where(DkimKey.domain_id == domain_id).order_by(DkimKey.id)).scalars())


def domain_name(text: str) -> str:
    """The domain as rows hold it. Raises AddressError."""
    return addresses.normal(f"a@{text.strip().removeprefix('@').rstrip('.')}").rpartition("@")[2]


def add_domain(session: Session, secrets: Secrets, domain: str, now: datetime) -> SendingDomain:
    """A domain with its first pair of keys. Raises AddressError; a second row of one domain fails in the database."""
    row = SendingDomain(domain=domain_name(domain), created_at=now, findings=[])
    if "." not in row.domain:
        raise AddressError("a domain has a dot in it")
    session.add(row)
    session.flush()
    _make_keys(session, secrets, row.id, now)
    return row


def begin_rotation(session: Session, secrets: Secrets, domain_id: int, now: datetime) -> list[DkimKey]:
    """A new pair under new selectors, to be published beside the old. Raises RotationRunning."""
    if any(key.state == KeyState.NEW for key in keys_of(session, domain_id)):
        raise RotationRunning
    return _make_keys(session, secrets, domain_id, now)


def _make_keys(session: Session, secrets: Secrets, domain_id: int, now: datetime) -> list[DkimKey]:
    made = []
    for algorithm in dkim.ALGORITHMS:
        private, public = dkim.new_key(algorithm)
        key = DkimKey(
            domain_id=domain_id, selector=_selector(algorithm, public, now), algorithm=algorithm, public_key=public,
            state=KeyState.NEW, created_at=now,
        )  # fmt: skip
        session.add(key)
        session.flush()
        key.private_key = vault.of(secrets).seal(private, _place(key))
        made.append(key)
    session.flush()
    return made


def _selector(algorithm: str, public: str, now: datetime) -> str:
    """Such as `k20261125r3f09ac`. It never comes back with another key, not even for a domain removed and added again: resolvers
    remember the old one."""
    return f"k{now:%Y%m%d}{algorithm[0]}{sha256(public.encode()).hexdigest()[:6]}"


def activate(session: Session, key: DkimKey, now: datetime) -> None:
    """It signs from now on, and what signed before with the same algorithm signs no more. Nothing happens to a retired key."""
    if key.state != KeyState.NEW:
        return
    for other in keys_of(session, key.domain_id):
        if other.id != key.id and other.state == KeyState.ACTIVE and other.algorithm == key.algorithm:
            retire(session, other, now)
    key.state, key.active_from = KeyState.ACTIVE, now
    session.flush()


def retire(session: Session, key: DkimKey, now: datetime) -> None:
    """It signs no more; its private half is destroyed."""
    if key.state != KeyState.RETIRED:
        key.state, key.retired_at, key.private_key = KeyState.RETIRED, now, None
        session.flush()


def activate_found(session: Session, domain_id: int, found: Sequence[str], now: datetime) -> list[DkimKey]:
    """Activates the new keys whose selectors the DNS shows with our key. Returns them."""
    ready = [key for key in keys_of(session, domain_id) if key.state == KeyState.NEW and key.selector in found]
    for key in ready:
        activate(session, key, now)
    return ready


def to_publish(keys: Iterable[DkimKey], now: datetime) -> list[DkimKey]:
    """The keys whose records the DNS has to show: all but those of which no signature is on its way any more."""
    return [key for key in keys if key.retired_at is None or (key.active_from is not None and key.retired_at + OVERLAP > now)]
