"""The rows that say what holds now: in which lists a member is, and for which purposes a consent stands. For unsubscribe.consent only."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from kairan.models.audience import List, Subscription
from kairan.models.consent import Permission
from kairan.sql import insert


def subscribe(session: Session, member_id: int, list_id: int, *, now: datetime) -> None:
    session.execute(
        insert(session, Subscription)
        .values(member_id=member_id, list_id=list_id, since=now)
        .on_conflict_do_update(
            index_elements=[Subscription.member_id, Subscription.list_id],
            set_={"since": now, "ended_at": None},
            where=Subscription.ended_at.is_not(None),
        )
    )


def subscribe_again(session: Session, member_id: int, list_id: int) -> None:
    session.execute(update(Subscription).where(Subscription.member_id == member_id, Subscription.list_id == list_id).values(ended_at=None))


def permit(session: Session, member_id: int, purpose_id: int, *, given_at: datetime) -> None:
    session.execute(
        insert(session, Permission)
        .values(member_id=member_id, purpose_id=purpose_id, given_at=given_at)
        .on_conflict_do_update(
            index_elements=[Permission.member_id, Permission.purpose_id],
            set_={"given_at": given_at, "withdrawn_at": None},
            where=Permission.withdrawn_at.is_not(None),
        )
    )


def permit_again(session: Session, member_id: int, purpose_id: int) -> None:
    session.execute(
        update(Permission).where(Permission.member_id == member_id, Permission.purpose_id == purpose_id).values(withdrawn_at=None)
    )


def withdraw(session: Session, member_id: int, purpose_id: int, now: datetime) -> bool:
    gone = session.execute(
        update(Permission)
        .where(Permission.member_id == member_id, Permission.purpose_id == purpose_id, Permission.withdrawn_at.is_(None))
        .values(withdrawn_at=now)
        .returning(Permission.purpose_id)
    )
    return gone.one_or_none() is not None


def has_other_topic(session: Session, member_id: int, purpose_id: int) -> bool:
    count = session.execute(
        select(func.count())
        .select_from(Subscription)
        .join(List, List.id == Subscription.list_id)
        .where(Subscription.member_id == member_id, List.purpose_id == purpose_id, Subscription.ended_at.is_(None))
    ).scalar_one()
    return bool(count)
