"""What pages show about members: found by name or address, in lists, on the suppression list. Reads only."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.consent import Permission
from mailer.web import edge
from unsubscribe import suppression


def listed(session: Session, search: str, list_id: int | None, after: int | None, limit: int) -> list[Member]:
    query = select(Member).order_by(Member.id.desc()).limit(limit)
    if search:
        query = query.where(matches(search))
    if list_id:
        in_list = select(Subscription.member_id).where(Subscription.list_id == list_id, Subscription.ended_at.is_(None))
        query = query.where(Member.id.in_(in_list))
    if after:
        query = query.where(Member.id < after)
    return list(session.scalars(query))


def matches(search: str) -> ColumnElement[bool]:
    """A whole address is found by its key; else name or address begins with it. Who sees no addresses cannot search by them."""
    sees_addresses = edge.can("member.address")
    if "@" in search and sees_addresses:
        try:
            return Member.address_key == edge.runtime().secrets.address_key(addresses.normal(search))
        except addresses.AddressError:
            pass
    pattern = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    columns = [Member.first_name, Member.last_name, *([Member.email] if sees_addresses else [])]
    words = or_(*(column.ilike(pattern, escape="\\") for column in columns))
    first, space, last = search.partition(" ")
    if not space:
        return words
    both = Member.first_name.ilike(first + "%") & Member.last_name.ilike(last + "%")
    turned = Member.last_name.ilike(first + "%") & Member.first_name.ilike(last + "%")
    return or_(words, both, turned)


def suppressed(session: Session, members: Sequence[Member]) -> dict[int, str]:
    """member → why they get no mail, of those who get none."""
    return suppression.reasons(session, [member.id for member in members])


def list_names(session: Session, members: Sequence[Member]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    rows = session.execute(
        select(Subscription.member_id, List.name)
        .join(List, List.id == Subscription.list_id)
        .where(Subscription.member_id.in_([member.id for member in members]), Subscription.ended_at.is_(None))
        .order_by(List.name)
    )
    for member_id, name in rows:
        found.setdefault(member_id, []).append(name)
    return found


def subscriptions(session: Session, member_id: int) -> list[Any]:
    """(subscription, list, purpose's name, whether consent for that purpose holds), by the list's name."""
    return list(
        session.execute(
            select(Subscription, List, Purpose.name.label("purpose"), Permission)
            .join(List, List.id == Subscription.list_id)
            .join(Purpose, Purpose.id == List.purpose_id)
            .outerjoin(Permission, (Permission.purpose_id == Purpose.id) & (Permission.member_id == Subscription.member_id))
            .where(Subscription.member_id == member_id)
            .order_by(Subscription.ended_at.is_not(None), List.name)
        )
    )


def total(session: Session) -> int:
    return session.scalar(select(func.count(Member.id))) or 0
