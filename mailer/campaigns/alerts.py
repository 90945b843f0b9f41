"""Alerts: told once a cause, by mail to those who want it and by webhook, and again only after the cause was over.

`begin` and `end` are single statements on the row of the cause's key: of many machines that see the same, one tells.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kairan import i18n, installation, outbox, standard_webhooks
from kairan.addresses import AddressError
from kairan.i18n import lazy_gettext
from kairan.models.accounts import Account, Role
from kairan.models.alerts import Alert, AlertChoice, AlertHook, AlertPost
from kairan.sql import insert
from mailer.campaigns import alert_words

KINDS = {
    "campaign.paused": lazy_gettext("A campaign stopped by itself"),
    "campaign.ended": lazy_gettext("A campaign ended"),
    "campaign.uncertain": lazy_gettext("Deliveries of a campaign are uncertain"),
    "schedule.missed": lazy_gettext("A scheduled start was missed"),
    "provider.failed": lazy_gettext("A mail server fails, and is well again"),
    "disk.full": lazy_gettext("A disk is nearly full, and has room again"),
    "redis.away": lazy_gettext("Redis is away for more than a minute, and is back"),
    "webhook.off": lazy_gettext("A webhook was switched off because it takes nothing"),
}
OF_THE_MACHINES = frozenset({"provider.failed", "disk.full", "redis.away", "webhook.off"})
"""for administrators; their end is told as well"""
_DEFAULTS = {Role.ADMIN: frozenset(KINDS), Role.MARKETER: frozenset(KINDS) - OF_THE_MACHINES}


def kinds_for(role: str) -> list[str]:
    """What a person of this role may be told."""
    return [kind for kind in KINDS if role == Role.ADMIN or kind not in OF_THE_MACHINES]


def choices(session: Session, account_id: int, role: str) -> dict[str, bool]:
    """Which kinds a person gets by mail."""
    made = {row.kind: row.mail for row in session.scalars(select(AlertChoice).where(AlertChoice.account_id == account_id))}
    return {kind: made.get(kind, kind in _DEFAULTS.get(Role(role), frozenset())) for kind in kinds_for(role)}


def choose(session: Session, account_id: int, role: str, wanted: Iterable[str]) -> None:
    chosen = set(wanted)
    for kind in kinds_for(role):
        values = {"account_id": account_id, "kind": kind, "mail": kind in chosen}
        statement = insert(session, AlertChoice).values(**values)
        keys = [AlertChoice.account_id, AlertChoice.kind]
        session.execute(statement.on_conflict_do_update(index_elements=keys, set_={"mail": kind in chosen}))


# ---- causes ----


def begin(session: Session, key: str, kind: str, facts: Mapping[str, Any], base_url: str, now: datetime) -> bool:
    """A cause stands. True: it is new, and this call has told of it."""
    fresh = {"kind": kind, "facts": dict(facts), "began_at": now, "seen_at": now, "over_at": None}
    statement = insert(session, Alert).values(key=key, **fresh)
    statement = statement.on_conflict_do_update(index_elements=[Alert.key], set_=fresh, where=Alert.over_at.is_not(None))
    if session.execute(statement.returning(Alert.id)).one_or_none() is None:
        session.execute(update(Alert).where(Alert.key == key, Alert.over_at.is_(None)).values(seen_at=now))
        return False
    _tell(session, _Told(kind, facts, base_url, now, over=False))
    return True


def end(session: Session, key: str, base_url: str, now: datetime, *, unseen_since: datetime | None = None, quietly: bool = False) -> bool:
    """A cause is over. `unseen_since`: only if no machine has seen it since. True: it had stood until this call, which has told of its
    end where that is told at all and not `quietly`."""
    statement = update(Alert).where(Alert.key == key, Alert.over_at.is_(None))
    if unseen_since is not None:
        statement = statement.where(Alert.seen_at < unseen_since)
    row = session.execute(statement.values(over_at=now).returning(Alert.kind, Alert.facts)).one_or_none()
    if row is None:
        return False
    if row.kind in OF_THE_MACHINES and not quietly:
        _tell(session, _Told(row.kind, row.facts, base_url, now, over=True))
    return True


def standing(session: Session, prefix: str = "") -> dict[str, datetime]:
    """Keys of the causes that stand, with when they were seen last."""
    rows = session.execute(select(Alert.key, Alert.seen_at).where(Alert.over_at.is_(None), Alert.key.startswith(prefix, autoescape=True)))
    return {key: seen_at for key, seen_at in rows}


# ---- telling ----


@dataclass(frozen=True, slots=True)
class _Told:
    """What everybody is told alike."""

    kind: str
    facts: Mapping[str, Any]
    base_url: str
    now: datetime
    over: bool


def _tell(session: Session, told: _Told) -> None:
    """In the transaction of the cause itself. The caller rings for mail and posts after the commit."""
    sender = installation.get(session, "sender")
    for account in session.scalars(select(Account).where(Account.disabled_at.is_(None)).order_by(Account.id)):
        if choices(session, account.id, account.role).get(told.kind):
            _mail(session, account, sender, told)
    for hook in session.scalars(select(AlertHook).where(AlertHook.enabled.is_(True))):
        if told.kind in hook.kinds:
            put_post(session, hook.id, told.kind, told.facts, told.base_url, told.now, over=told.over)


def _mail(session: Session, account: Account, sender: Mapping[str, str], told: _Told) -> None:
    address = sender.get("email") or account.email
    with i18n.speaking(account.language):
        words = alert_words.words(told.kind, told.facts, over=told.over)
        text = alert_words.as_mail(words, told.base_url)
    message_id = f"alert-{standard_webhooks.new_message_id()}@{address.rpartition('@')[2]}"
    try:
        message = outbox.compose(
            sender_name=sender.get("name", ""), sender=address, recipient=account.email, subject=f"Kairan: {words.title}", text=text,
            message_id=message_id, now=told.now,
        )  # fmt: skip
        outbox.put(session, kind="alert", sender=address, recipient=account.email, message=message, now=told.now)
    except AddressError:  # an account's name that is no mailbox
        return


def put_post(
    session: Session, hook_id: int, kind: str, facts: Mapping[str, Any], base_url: str, now: datetime, *, over: bool = False
) -> AlertPost:
    """One webhook on its way, in the installation's language."""
    with i18n.speaking(installation.get(session, "language")):
        words = alert_words.words(kind, facts, over=over)
    data = {**facts, "over": over, "title": words.title, "text": words.text, "link": base_url + words.path}
    body = json.dumps({"type": kind, "timestamp": now.isoformat(timespec="seconds"), "data": data}, ensure_ascii=False)
    row = AlertPost(hook_id=hook_id, message_id=standard_webhooks.new_message_id(), body=body, due_at=now, created_at=now)
    session.add(row)
    session.flush()
    return row
