"""Posts what is due: signed, to public addresses only, several at once, and never for long, since other work waits in the same queue.

A webhook that does not answer is left alone for a while, so it holds up neither the others nor the queue. Tried again for a day and a half;
one that has taken nothing for three days is switched off and people are told.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update

from kairan import clock, queues, safe_client, standard_webhooks, vault
from kairan.models.webhooks import Webhook, WebhookPost, WebhookState
from kairan.runtime import Runtime, runtime
from kairan.sql import locked
from mailer.campaigns import alerts
from mailer.webhooks import posts
from mailer.webhooks.settings import place_of_secret

WORK = "mailer.webhooks.jobs.work"
LEASE = timedelta(seconds=60)
WAITS = [timedelta(seconds=5), *(timedelta(minutes=minutes) for minutes in (5, 30, 120, 300, 600, 840))]
"""between the tries, as Standard Webhooks proposes"""
GONE = 410
AT_ONCE, THREADS = 64, 8
FOR_S = 5.0
"""a job ends after this and rings again"""
TIMEOUT_S = 5.0
REST = timedelta(seconds=20)
"""of a webhook whose post failed: its others wait with it"""
OFF_AFTER = timedelta(days=3)
KEPT = timedelta(days=30)

log = logging.getLogger(__name__)


def ring_waiting(ground: Runtime) -> None:
    """Where something happened that is not made into posts, or a post's time has come."""
    now = clock.now()
    with ground.reading() as session:
        waits = posts.is_waiting(session) or session.execute(_due(now).limit(1)).first() is not None
    if waits and not ground.queues.waiting(queues.WORK):
        ground.queues.ring(queues.WORK, WORK, timeout_s=600)


def work() -> None:
    """Makes posts and sends what is due, for some seconds."""
    ground = runtime()
    until = time.monotonic() + FOR_S
    while time.monotonic() < until:
        with ground.writing() as session:
            made = posts.make(session, clock.now())
        if not send(ground) and not made:
            return
    ring_waiting(ground)


def send(ground: Runtime) -> int:
    """One batch. Returns how many were tried."""
    batch = _claim(ground)
    if not batch:
        return 0
    by_hook: dict[int, list[tuple[WebhookPost, Webhook]]] = {}
    for post, hook in batch:
        by_hook.setdefault(hook.id, []).append((post, hook))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda pairs: _to_one(ground, pairs), _shares(by_hook)))
    return len(batch)


def _shares(by_hook: dict[int, list[tuple[WebhookPost, Webhook]]]) -> list[list[tuple[WebhookPost, Webhook]]]:
    """What each thread posts: a webhook's posts go over several connections, as far as threads are there."""
    parts = max(1, THREADS // len(by_hook))
    return [pairs[first::parts] for pairs in by_hook.values() for first in range(min(parts, len(pairs)))]


def _to_one(ground: Runtime, pairs: list[tuple[WebhookPost, Webhook]]) -> None:
    for place, (post, hook) in enumerate(pairs):
        if not settle(ground, post, *attempt(ground, hook, post)):
            _rest(ground, hook.id, [other.id for other, _hook in pairs[place + 1 :]])
            return


def attempt(ground: Runtime, hook: Webhook, post: WebhookPost) -> tuple[int | None, str]:
    """One try, no transaction open meanwhile: the status, or None with why there is none."""
    body = post.body.encode()
    try:
        secret = vault.of(ground.secrets).open(hook.secret, place_of_secret(hook.id)).decode()
        headers = standard_webhooks.headers(secret, post.message_id, body, clock.now())
        private = safe_client.allowed_networks(ground.settings.private_targets)
        answer = safe_client.post(hook.url, body, headers, private=private, timeout_s=TIMEOUT_S)
    except (safe_client.Refused, safe_client.Unreachable, vault.SealBroken) as problem:
        return None, str(problem)
    return answer.status, str(answer.status)


def settle(ground: Runtime, post: WebhookPost, status: int | None, said: str) -> bool:
    """Writes what came of a try. False: it was not taken."""
    with ground.writing() as session:
        now = clock.now()
        taken = status is not None and 200 <= status < 300
        values: dict[str, Any] = {"lease_until": None, "reply": said[:200]}
        if taken:
            values |= {"state": WebhookState.SENT, "ended_at": now, "tries": post.tries + 1}
            session.execute(
                update(Webhook).where(Webhook.id == post.webhook_id, Webhook.failing_since.is_not(None)).values(failing_since=None)
            )
        elif status == GONE or post.tries >= len(WAITS):
            values |= {"state": WebhookState.FAILED, "ended_at": now, "tries": post.tries + 1}
        else:
            values |= {"tries": post.tries + 1, "due_at": now + WAITS[post.tries]}
        session.execute(update(WebhookPost).where(WebhookPost.id == post.id).values(**values))
        if not taken:
            _note_failure(session, ground, post.webhook_id, now, gone=status == GONE)
    return taken


def _note_failure(session: Any, ground: Runtime, webhook_id: int, now: datetime, *, gone: bool) -> None:
    hook = session.execute(locked(select(Webhook).where(Webhook.id == webhook_id), session)).scalar_one_or_none()
    if hook is None or not hook.enabled:
        return
    hook.failing_since = hook.failing_since or now
    if gone or now - hook.failing_since > OFF_AFTER:
        hook.enabled, hook.off_reason, hook.updated_at = False, "gone" if gone else "failing", now
        facts = {"webhook": hook.id, "host": hook.url.split("/")[2], "gone": gone}
        alerts.begin(session, f"webhook/{hook.id}/{now:%Y%m%d%H%M%S}", "webhook.off", facts, ground.settings.base_url, now)
        log.warning("webhook switched off", extra={"webhook": hook.id, "gone": gone})


def _rest(ground: Runtime, webhook_id: int, claimed: list[int]) -> None:
    """The rest of the batch, and what else is due for this webhook, waits a moment; no try is counted."""
    now = clock.now()
    due = and_(
        WebhookPost.webhook_id == webhook_id, WebhookPost.state == WebhookState.QUEUED, WebhookPost.due_at <= now,
        or_(WebhookPost.lease_until.is_(None), WebhookPost.id.in_(claimed)),
    )  # fmt: skip
    with ground.writing() as session:
        session.execute(update(WebhookPost).where(due).values(due_at=now + REST, lease_until=None))


def _due(now: datetime) -> Any:
    return (
        select(WebhookPost, Webhook)
        .join(Webhook, Webhook.id == WebhookPost.webhook_id)
        .where(
            WebhookPost.state == WebhookState.QUEUED,
            WebhookPost.due_at <= now,
            or_(WebhookPost.lease_until.is_(None), WebhookPost.lease_until < now),
            Webhook.enabled.is_(True),
        )
        .order_by(WebhookPost.due_at, WebhookPost.id)
    )


def _claim(ground: Runtime) -> list[tuple[WebhookPost, Webhook]]:
    with ground.writing() as session:
        now = clock.now()
        rows = [(post, hook) for post, hook in session.execute(locked(_due(now).limit(AT_ONCE), session, skip=True))]
        for post, _hook in rows:
            post.lease_until = now + LEASE + timedelta(seconds=TIMEOUT_S) * len(rows)
    return rows


def tidy(ground: Runtime) -> int:
    """What ended more than 30 days ago goes. Returns how many."""
    with ground.writing() as session:
        old = WebhookPost.ended_at < clock.now() - KEPT
        return int(session.execute(delete(WebhookPost).where(old)).rowcount)  # type: ignore[attr-defined]


def counts(session: Any, webhook_id: int) -> dict[str, int]:
    """Posts of a webhook by state."""
    rows = session.execute(select(WebhookPost.state, func.count()).where(WebhookPost.webhook_id == webhook_id).group_by(WebhookPost.state))
    found = {state: count for state, count in rows}
    return {state.value: int(found.get(state, 0)) for state in WebhookState}
