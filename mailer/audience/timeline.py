"""What happened between a member and us, newest first: mails, opens, clicks, and every act of will with its evidence."""

import heapq
import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.audience import List, Purpose
from kairan.models.campaigns import Campaign, Link
from kairan.models.consent import ConsentRow, LeaveReason, Wording
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Event, EventKind
from kairan.models.webhooks import MemberVisit, Site

ENTRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """`kind`: mail, open, click, visit or consent; `detail` is what belongs to that kind."""

    at: datetime
    kind: str
    campaign_id: int | None
    campaign: str | None
    detail: dict[str, Any]


def timeline(session: Session, member_id: int, *, limit: int = 100, before: datetime | None = None) -> list[Entry]:
    """The newest entries, or those older than `before`."""
    limit = min(limit, ENTRIES_MAX)
    sources = (
        _mails(session, member_id, limit, before),
        _events(session, member_id, limit, before),
        _acts(session, member_id, limit, before),
        _visits(session, member_id, limit, before),
    )
    merged = heapq.merge(*sources, key=lambda entry: entry.at, reverse=True)
    return list(itertools.islice(merged, limit))


def _mails(session: Session, member_id: int, limit: int, before: datetime | None) -> list[Entry]:
    query = (
        select(Delivery.ended_at, Delivery.state, Delivery.reason, Delivery.campaign_id, Campaign.name)
        .join(Campaign, Campaign.id == Delivery.campaign_id)
        .where(Delivery.member_id == member_id, Delivery.ended_at.is_not(None))
        .order_by(Delivery.ended_at.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Delivery.ended_at < before)
    return [
        Entry(row.ended_at, "mail", row.campaign_id, row.name, {"state": State(row.state).name.lower(), "reason": row.reason})
        for row in session.execute(query)
    ]


def _events(session: Session, member_id: int, limit: int, before: datetime | None) -> list[Entry]:
    query = (
        select(
            Event.occurred_at, Event.kind, Event.machine, Event.link, Event.campaign_id, Campaign.name, Link.kind.label("what"), Link.label
        )
        .join(Campaign, Campaign.id == Event.campaign_id)
        .outerjoin(Link, (Link.campaign_id == Event.campaign_id) & (Link.number == Event.link))
        .where(Event.member_id == member_id)
        .order_by(Event.occurred_at.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Event.occurred_at < before)
    return [_event(row) for row in session.execute(query)]


def _event(row: Any) -> Entry:
    if row.kind == EventKind.OPEN:
        return Entry(row.occurred_at, "open", row.campaign_id, row.name, {"machine": row.machine})
    link = {"link": row.link, "kind": row.what, "label": row.label}
    return Entry(row.occurred_at, "click", row.campaign_id, row.name, {"machine": row.machine, **link})


def _visits(session: Session, member_id: int, limit: int, before: datetime | None) -> list[Entry]:
    query = (
        select(MemberVisit, Site.host, Campaign.name)
        .join(Site, Site.id == MemberVisit.site_id)
        .join(Campaign, Campaign.id == MemberVisit.campaign_id)
        .where(MemberVisit.member_id == member_id)
        .order_by(MemberVisit.at.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(MemberVisit.at < before)
    return [Entry(row.at, "visit", row.campaign_id, name, {"page": host + row.path}) for row, host, name in session.execute(query)]


def _acts(session: Session, member_id: int, limit: int, before: datetime | None) -> list[Entry]:
    query = (
        select(
            ConsentRow,
            Campaign.name,
            List.name.label("list"),
            Purpose.name.label("purpose"),
            Wording.text.label("wording"),
            LeaveReason.reason.label("why"),
            LeaveReason.words.label("words"),
        )
        .outerjoin(Campaign, Campaign.id == ConsentRow.campaign_id)
        .outerjoin(List, List.id == ConsentRow.list_id)
        .outerjoin(Purpose, Purpose.id == ConsentRow.purpose_id)
        .outerjoin(Wording, Wording.id == ConsentRow.wording_id)
        .outerjoin(LeaveReason, LeaveReason.consent_id == ConsentRow.id)
        .where(ConsentRow.member_id == member_id)
        .order_by(ConsentRow.happened_at.desc(), ConsentRow.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(ConsentRow.happened_at < before)
    return [_act(row) for row in session.execute(query)]


def _act(row: Any) -> Entry:
    act: ConsentRow = row.ConsentRow
    detail = {
        "id": act.id,
        "act": act.act,
        "source": act.source,
        "list_id": act.list_id,
        "list": row.list,
        "purpose": row.purpose,
        "wording": row.wording,
        "recorded_at": act.recorded_at,
        **({"why": row.why} if row.why else {}),
        **({"words": row.words} if row.words else {}),
        **({"evidence": act.detail} if act.detail else {}),
    }
    return Entry(act.happened_at, "consent", act.campaign_id, row.name, detail)


def consents(session: Session, member_id: int, *, limit: int = ENTRIES_MAX) -> list[Entry]:
    """The ledger alone, newest first."""
    return _acts(session, member_id, min(limit, ENTRIES_MAX), None)
