"""Posts alerts to their webhook: signed, to public addresses only, tried again for a day and a half."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from kairan import clock, queues, safe_client, standard_webhooks, vault
from kairan.models.alerts import AlertHook, AlertPost, PostState
from kairan.runtime import Runtime, runtime
from kairan.sql import locked

SEND = "mailer.campaigns.alert_posts.send_due"
LEASE = timedelta(seconds=60)
WAITS = [timedelta(seconds=5), *(timedelta(minutes=minutes) for minutes in (5, 30, 120, 300, 600, 840))]
"""between the tries, as Standard Webhooks proposes"""
GONE = 410
BATCH = 20

log = logging.getLogger(__name__)


def place_of_secret(hook_id: int) -> str:
    return f"alert_hooks/{hook_id}/secret"


def ring(ground: Runtime) -> None:
    ground.queues.ring(queues.WORK, SEND, timeout_s=600)


def ring_waiting(ground: Runtime) -> None:
    """For posts whose time has come, or whose bell was lost."""
    with ground.reading() as session:
        waiting = session.execute(_due(clock.now()).limit(1)).first()
    if waiting is not None and not ground.queues.waiting(queues.WORK):
        ring(ground)


def send_due() -> None:
    """Posts what is due, until nothing is."""
    ground = runtime()
    while batch := _claim(ground):
        for post, hook in batch:
            settle(ground, post, *attempt(ground, hook, post))


def attempt(ground: Runtime, hook: AlertHook, post: AlertPost) -> tuple[int | None, str]:
    """One try, no transaction open meanwhile: the status, or None with why there is none."""
    body = post.body.encode()
    try:
        secret = vault.of(ground.secrets).open(hook.secret, place_of_secret(hook.id)).decode()
        headers = standard_webhooks.headers(secret, post.message_id, body, clock.now())
        private = safe_client.allowed_networks(ground.settings.private_targets)
        answer = safe_client.post(hook.url, body, headers, private=private)
    except (safe_client.Refused, safe_client.Unreachable, vault.SealBroken) as problem:
        return None, str(problem)
    return answer.status, str(answer.status)


def settle(ground: Runtime, post: AlertPost, status: int | None, said: str) -> None:
    with ground.writing() as session:
        now = clock.now()
        if status is not None and 200 <= status < 300:
            _write(session, post, state=PostState.SENT, reply=said)
        elif status == GONE or post.tries >= len(WAITS):
            _write(session, post, state=PostState.FAILED, reply=said[:200])
            if status == GONE:  # the receiver wants no more
                session.execute(update(AlertHook).where(AlertHook.id == post.hook_id).values(enabled=False, updated_at=now))
        else:
            _write(session, post, tries=post.tries + 1, due_at=now + WAITS[post.tries], reply=said[:200])
    log.info("alert posted", extra={"post": post.id, "status": status})


def _write(session: Session, post: AlertPost, **values: object) -> None:
    session.execute(update(AlertPost).where(AlertPost.id == post.id).values(lease_until=None, **values))


def _due(now: datetime) -> Select[AlertPost, AlertHook]:
    return (
        select(AlertPost, AlertHook)
        .join(AlertHook, AlertHook.id == AlertPost.hook_id)
        .where(
            AlertPost.state == PostState.QUEUED,
            AlertPost.due_at <= now,
            or_(AlertPost.lease_until.is_(None), AlertPost.lease_until < now),
            AlertHook.enabled.is_(True),
        )
        .order_by(AlertPost.due_at, AlertPost.id)
    )


def _claim(ground: Runtime) -> list[tuple[AlertPost, AlertHook]]:
    with ground.writing() as session:
        now = clock.now()
        rows = [(post, hook) for post, hook in session.execute(locked(_due(now).limit(BATCH), session, skip=True))]
        for post, _hook in rows:
            post.lease_until = now + LEASE * len(rows)
    return rows
