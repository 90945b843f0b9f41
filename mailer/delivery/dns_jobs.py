"""Looks at the DNS of sending domains without being asked: often while a key waits for its record, else once a day."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import audit, clock, queues
from kairan.models.sending import DkimKey, KeyState, SendingDomain
from kairan.runtime import Runtime, runtime
from mailer.delivery import sender_dns, signing

LOOK = "mailer.delivery.dns_jobs.look"
WHILE_WAITING = timedelta(minutes=15)
ELSE = timedelta(days=1)
PATIENCE = timedelta(days=14)
"""after which a key that was never published is looked for once a day like everything else"""


def ring_due(ground: Runtime) -> None:
    """Once a minute, by the scheduler: the looking itself takes seconds and is a worker's."""
    with ground.reading() as session:
        ids = due(session, clock.now())
    if ids and not ground.queues.waiting(queues.WORK):
        for domain_id in ids:
            ground.queues.ring(queues.WORK, LOOK, domain_id)


def due(session: Session, now: datetime) -> list[int]:
    """Domains whose last look is too long ago."""
    fresh = select(DkimKey.domain_id).where(DkimKey.state == KeyState.NEW, DkimKey.created_at > now - PATIENCE)
    waiting = set(session.execute(fresh).scalars())
    rows = session.execute(select(SendingDomain.id, SendingDomain.checked_at, SendingDomain.created_at).order_by(SendingDomain.id))
    return [id for id, checked, created in rows if (checked or created) + (WHILE_WAITING if id in waiting else ELSE) <= now]


def look(domain_id: int) -> None:
    """Unless somebody else has looked since it was rung."""
    ground = runtime()
    with ground.reading() as session:
        if domain_id not in due(session, clock.now()):
            return
        row = session.get_one(SendingDomain, domain_id)
        keys = signing.keys_of(session, domain_id)
        wanted = sender_dns.records(row, keys, clock.now(), sender_dns.own_host(ground.settings))
    findings = sender_dns.look(wanted)
    with ground.writing() as session:
        now = clock.now()
        for key in sender_dns.keep(session, domain_id, findings, now):
            audit.note(session, "system", "domain.key_use", domain_id, {"key": key.id, "seen": True}, now)
