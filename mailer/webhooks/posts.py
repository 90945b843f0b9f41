"""From what happened to posts: each entry of the feed becomes one post for each webhook that wants its kind, in one transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from kairan import feed, standard_webhooks
from kairan.models.audience import List, Member
from kairan.models.campaigns import Campaign, Link
from kairan.models.webhooks import FeedEntry, Webhook, WebhookPost, WebhookState
from kairan.sql import locked
from mailer.webhooks import words
from mailer.webhooks.words import Known

AT_ONCE = 500
CAMPAIGNS_AT_ONCE = 50


def make(session: Session, now: datetime) -> int:
    """Takes the next entries and changed campaigns. Returns how many things happened; 0: nothing is left."""
    hooks = list(session.scalars(select(Webhook).where(Webhook.enabled.is_(True)).order_by(Webhook.id)))
    entries = list(session.scalars(locked(select(FeedEntry).order_by(FeedEntry.id).limit(AT_ONCE), session, skip=True)))
    moved = _moved_campaigns(session) if hooks else []
    if hooks:
        _of_entries(session, hooks, entries, now)
        _of_campaigns(session, hooks, moved, now)
    if entries:
        session.execute(delete(FeedEntry).where(FeedEntry.id.in_([entry.id for entry in entries])))
    return len(entries) + len(moved)


def put(session: Session, webhook_id: int, kind: str, body: str, now: datetime, member_id: int | None = None) -> WebhookPost:
    row = WebhookPost(
        webhook_id=webhook_id,
        message_id=standard_webhooks.new_message_id(),
        kind=kind,
        body=body,
        member_id=member_id,
        due_at=now,
        created_at=now,
    )
    session.add(row)
    return row


def again(session: Session, post: WebhookPost, now: datetime) -> None:
    """Sends one once more, under its old id, so that a receiver who had it knows."""
    post.state, post.due_at, post.tries, post.lease_until, post.ended_at = WebhookState.QUEUED, now, 0, None, None
    session.flush()


def _of_entries(session: Session, hooks: Sequence[Webhook], entries: Sequence[FeedEntry], now: datetime) -> None:
    wanted = [entry for entry in entries if any(entry.kind in hook.kinds for hook in hooks)]
    known, gone = _known(session, wanted, addresses=any(hook.addresses for hook in hooks))
    for entry in wanted:
        # Who was erased or suspended between the act and this moment is told of to nobody; a no is told in any case.
        if entry.kind in feed.EVENTS and entry.member_id in gone:
            continue
        for hook in hooks:
            if entry.kind in hook.kinds:
                put(session, hook.id, entry.kind, words.of_entry(entry, known, addresses=hook.addresses), now, entry.member_id)
    session.flush()


def _known(session: Session, entries: Iterable[FeedEntry], *, addresses: bool) -> tuple[Known, set[int]]:
    entries = list(entries)
    campaign_ids = {entry.campaign_id for entry in entries if entry.campaign_id}
    member_ids = {entry.member_id for entry in entries if entry.member_id}
    list_ids = {entry.detail["list"] for entry in entries if entry.detail.get("list")}
    campaigns = {row.id: row.name for row in session.execute(select(Campaign.id, Campaign.name).where(Campaign.id.in_(campaign_ids)))}
    links = {
        (row.campaign_id, row.number): {"kind": row.kind, "label": row.label, "url": row.url}
        for row in session.scalars(select(Link).where(Link.campaign_id.in_(campaign_ids)))
    }
    lists = {row.id: row.name for row in session.execute(select(List.id, List.name).where(List.id.in_(list_ids)))}
    there = select(Member.id, Member.email).where(Member.id.in_(member_ids), Member.suspended_at.is_(None))
    emails = {row.id: row.email for row in session.execute(there)}
    return Known(campaigns, links, lists, emails if addresses else {}), member_ids - emails.keys()


# ---- campaigns


_MOVED = or_(Campaign.told_status.is_(None), Campaign.told_status != Campaign.status)


def is_waiting(session: Session) -> bool:
    """Whether anything is to be made into posts."""
    if session.execute(select(FeedEntry.id).limit(1)).first():
        return True
    return feed.is_wanted(session) and session.execute(select(Campaign.id).where(_MOVED).limit(1)).first() is not None


def _moved_campaigns(session: Session) -> list[Campaign]:
    """Those whose status is not the one that was told last. A status that lasted less than a look is not told."""
    query = select(Campaign).where(_MOVED).order_by(Campaign.id).limit(CAMPAIGNS_AT_ONCE)
    return list(session.scalars(locked(query, session, skip=True)))


def _of_campaigns(session: Session, hooks: Sequence[Webhook], moved: Sequence[Campaign], now: datetime) -> None:
    for campaign in moved:
        before, status = campaign.told_status, campaign.status
        quiet = {"synchronize_session": False}
        values = {"told_status": status, "updated_at": Campaign.updated_at}
        session.execute(update(Campaign).where(Campaign.id == campaign.id).values(**values), execution_options=quiet)
        if status == "draft" and before is None:
            continue
        facts = {"audience": campaign.audience, "reason": campaign.paused_reason, "due_at": _moment(campaign.due_at), "before": before}
        body = words.of_campaign(campaign.id, campaign.name, status, now, facts)
        for hook in hooks:
            if "campaign" in hook.kinds:
                put(session, hook.id, f"campaign.{status}", body, now)
    session.flush()


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None
