"""Webhooks as people and programs set them: made with a secret that is shown once, changed, paused, ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kairan import standard_webhooks, vault
from kairan.models.audit import Provision
from kairan.models.campaigns import Campaign
from kairan.models.webhooks import Webhook
from kairan.secrets import Secrets
from mailer.webhooks.words import KINDS

WEBHOOKS_MAX = 20


class Refused(ValueError):
    """`field` says which entry is wrong: url, kinds, purpose, recipient, count."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wanted:
    """`addresses` asks for members' addresses in the bodies, which needs a purpose and a recipient."""

    url: str
    kinds: tuple[str, ...]
    addresses: bool = False
    purpose: str = ""
    recipient: str = ""


def place_of_secret(webhook_id: int) -> str:
    return f"webhooks/{webhook_id}/secret"


def make(session: Session, keys: Secrets, wanted: Wanted, *, actor: str, now: datetime) -> tuple[Webhook, str]:
    """The webhook and its secret. Raises Refused."""
    if len(all_of(session)) >= WEBHOOKS_MAX:
        raise Refused("count")
    _check(wanted)
    _begin_feed(session)
    row = Webhook(url=wanted.url, secret=b"", kinds=[], created_at=now, updated_at=now)
    session.add(row)
    session.flush()
    secret = renew_secret(session, keys, row, now)
    _write(session, row, wanted, actor, now)
    return row, secret


def change(session: Session, row: Webhook, wanted: Wanted, *, actor: str, now: datetime) -> None:
    """Raises Refused. Saving switches on what was off because it failed."""
    _check(wanted)
    _write(session, row, wanted, actor, now)
    if row.off_reason:
        switch(session, row, on=True, now=now)


def switch(session: Session, row: Webhook, *, on: bool, now: datetime) -> None:
    """On or off. What happens while all are off is told to nobody later."""
    if on and not row.enabled:
        _begin_feed(session)
    row.enabled, row.off_reason, row.failing_since, row.updated_at = on, None, None, now
    session.flush()


def renew_secret(session: Session, keys: Secrets, row: Webhook, now: datetime) -> str:
    secret = standard_webhooks.new_secret()
    row.secret, row.updated_at = vault.of(keys).seal(secret.encode(), place_of_secret(row.id)), now
    session.flush()
    return secret


def all_of(session: Session) -> list[Webhook]:
    return list(session.scalars(select(Webhook).order_by(Webhook.id)))


def chosen_kinds(names: Iterable[str]) -> tuple[str, ...]:
    given = set(names)
    return tuple(kind for kind in KINDS if kind in given)


def _check(wanted: Wanted) -> None:
    if not wanted.kinds:
        raise Refused("kinds")
    if wanted.addresses:
        for name in ("purpose", "recipient"):
            if not getattr(wanted, name).strip():
                raise Refused(name)


def _write(session: Session, row: Webhook, wanted: Wanted, actor: str, now: datetime) -> None:
    news = wanted.addresses and (not row.addresses or (row.purpose, row.recipient) != (wanted.purpose, wanted.recipient))
    row.url, row.kinds, row.addresses, row.updated_at = wanted.url, list(wanted.kinds), wanted.addresses, now
    row.purpose, row.recipient = (wanted.purpose.strip(), wanted.recipient.strip()) if wanted.addresses else ("", "")
    if news:
        # The register of provisions names a standing one once: its posts are too many to be written there each.
        given = {"actor": actor, "what": "webhook", "object_id": row.id, "purpose": row.purpose, "recipient": row.recipient}
        session.add(Provision(happened_at=now, **given))
    session.flush()


def _begin_feed(session: Session) -> None:
    """Before the first is on: what campaigns did until now is told to nobody."""
    if session.scalars(select(Webhook.id).where(Webhook.enabled.is_(True)).limit(1)).first() is None:
        quiet = {"synchronize_session": False}
        session.execute(update(Campaign).values(told_status=Campaign.status, updated_at=Campaign.updated_at), execution_options=quiet)
