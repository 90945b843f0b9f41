"""Sends the outbox: one mail a transaction of its own, at least once, under one Message-ID (P8: at most one duplicate an ambiguity)."""

import asyncio
import logging
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from kairan import clock, outbox, queues, vault
from kairan.models.outbox import OutboxMail, OutboxState
from kairan.runtime import Runtime, runtime
from kairan.settings import SmtpAccount
from kairan.sql import locked
from mailer.delivery import outcomes, providers, signing
from mailer.delivery.smtp import Connection, ConnectionLost, ProviderTrouble, RefusedReply, Reply

LEASE = timedelta(minutes=12)
"""longer than RFC 5321's wait for the reply to the dot"""
GIVE_UP_AFTER = timedelta(hours=48)
BATCH = 50

ring = outbox.ring
log = logging.getLogger(__name__)


def ring_waiting(ground: Runtime) -> None:
    """For mails whose bell was lost."""
    with ground.reading() as session:
        waiting = session.execute(_due(clock.now()).limit(1)).first()
    if waiting is not None and not ground.queues.waiting(queues.MAIL):
        ring(ground)


def send_due() -> None:
    """Sends what is due, until nothing is."""
    ground = runtime()
    while accounts := _accounts(ground):
        batch = _claim(ground)
        if not batch:
            return
        asyncio.run(_send_all(ground, accounts, batch))


def _accounts(ground: Runtime) -> list[tuple[int, SmtpAccount]]:
    """Provider and account in the order in which they are tried. A ceiling does not stop a system mail, and a broken one comes last."""
    safe = vault.of(ground.secrets)
    with ground.writing() as session:
        now = clock.now()
        providers.mirror_environment(session, ground.settings.smtp, now)
        found = sorted(providers.enabled(session), key=lambda provider: providers.is_broken(provider, now))
        accounts = []
        for provider in found:
            try:
                accounts.append((provider.id, providers.account_of(provider, ground.settings.smtp, safe)))
            except providers.NoAccount as problem:
                providers.open_breaker(session, provider.id, str(problem), now)
    return accounts


def _due(now: datetime) -> Select[OutboxMail]:
    return (
        select(OutboxMail)
        .where(
            OutboxMail.state.in_([OutboxState.QUEUED, OutboxState.SENDING]),
            OutboxMail.due_at <= now,
            or_(OutboxMail.lease_until.is_(None), OutboxMail.lease_until < now),
        )
        .order_by(OutboxMail.due_at, OutboxMail.id)
    )


def _claim(ground: Runtime) -> list[OutboxMail]:
    with ground.writing() as session:
        now = clock.now()
        rows = list(session.execute(locked(_due(now).limit(BATCH), session, skip=True)).scalars())
        for row in rows:
            row.state, row.lease_until = OutboxState.SENDING, now + LEASE
    return rows


async def _send_all(ground: Runtime, accounts: list[tuple[int, SmtpAccount]], batch: list[OutboxMail]) -> None:
    connection, why = await _first(ground, accounts)
    if connection is None:
        with ground.writing() as session:
            for row in batch:
                _later(session, row, why)
        return
    for row in batch:
        if not connection.usable:
            with ground.writing() as session:
                _later(session, row, "the connection was lost")
            continue
        await _send(ground, connection, row)
    await connection.leave()


async def _first(ground: Runtime, accounts: list[tuple[int, SmtpAccount]]) -> tuple[Connection | None, str]:
    """A connection to the first provider that can be reached, else why the last one cannot."""
    why = ""
    for provider_id, account in accounts:
        try:
            return await Connection.open(account), ""
        except ProviderTrouble as trouble:
            why = outcomes.printable(trouble.why)
            with ground.writing() as session:
                providers.open_breaker(session, provider_id, why, clock.now())
    return None, why


async def _send(ground: Runtime, connection: Connection, row: OutboxMail) -> None:
    try:
        await connection.transaction(row.mail_from.encode(), row.recipient.encode(), lambda: True)
        connection.write_message(_signed(ground, row.message))
        reply = await connection.dot_reply()
    except RefusedReply as refusal:
        reply = refusal.reply
    except ConnectionLost as lost:
        connection.abandon()
        with ground.writing() as session:
            _later(session, row, lost.why)
        return
    with ground.writing() as session:
        _settle(session, row, reply)


def _signed(ground: Runtime, message: bytes) -> bytes:
    with ground.reading() as session:
        return signing.signed_stored(session, ground.secrets, message, clock.now())


def _settle(session: Session, row: OutboxMail, reply: Reply) -> None:
    if 400 <= reply.code < 500:
        _later(session, row, f"{reply.code} {reply.text}")
        return
    sent = reply.code < 400
    _write(
        session,
        row,
        state=OutboxState.SENT if sent else OutboxState.FAILED,
        sent_at=clock.now() if sent else None,
        reply=f"{reply.code} {reply.text}"[:500],
    )
    log.info("system mail", extra={"outbox": row.id, "kind": row.kind, "code": reply.code})


def _later(session: Session, row: OutboxMail, why: str) -> None:
    """Tried again after 1, 2, 4 … 60 minutes, for 48 hours."""
    now = clock.now()
    if now - row.created_at > GIVE_UP_AFTER:
        _write(session, row, state=OutboxState.FAILED, reply=why[:500])
        return
    wait = timedelta(minutes=min(2**row.tries, 60))
    _write(session, row, state=OutboxState.QUEUED, tries=row.tries + 1, due_at=now + wait, reply=why[:500])


def _write(session: Session, row: OutboxMail, **values: object) -> None:
    session.execute(update(OutboxMail).where(OutboxMail.id == row.id).values(lease_until=None, **values))
