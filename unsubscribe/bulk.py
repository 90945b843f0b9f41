"""The same yes for many members at once, as an import brings it: sets of rows in single statements, in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, exists, literal, literal_column, or_, select
from sqlalchemy.orm import Session

from kairan.models.audience import List, Subscription
from kairan.models.base import Document
from kairan.models.consent import ConsentAct, ConsentRow, ConsentSource, Permission
from kairan.sql import insert
from unsubscribe import ledger
from unsubscribe.ledger import OWN_DOORS


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the rows of a file agreed to."""

    wording: str
    happened_at: datetime
    is_dated: bool
    """the file's owner says when it was; only then can it be later than a member's own no"""


def put_in_list(session: Session, members: Select[int, bytes], list_id: int, *, agreed: Agreement | None, now: datetime) -> None:
    """Puts the members (columns `member_id`, `address_key`) in the list, with their consent for its purpose if there is one.

    What members ended themselves stays ended, unless a dated agreement is later than that; a suppression stays in any case.
    """
    chosen = members.subquery("chosen")
    _subscribe(session, chosen, list_id, agreed, now)
    if agreed is not None:
        purpose_id = session.get_one(List, list_id).purpose_id
        _permit(session, chosen, list_id, purpose_id, agreed)
        _write(session, chosen, list_id, purpose_id, agreed, now)


def _subscribe(session: Session, chosen: Subquery, list_id: int, agreed: Agreement | None, now: datetime) -> None:
    rows = select(chosen.c.member_id, literal(list_id), literal(now)).order_by(chosen.c.member_id)
    said_no = _own_no("subscriptions", ConsentRow.list_id == list_id)
    session.execute(
        insert(session, Subscription)
        .from_select(["member_id", "list_id", "since"], rows)
        .on_conflict_do_update(
            index_elements=[Subscription.member_id, Subscription.list_id],
            set_={"since": now, "ended_at": None},
            where=and_(Subscription.ended_at.is_not(None), _may_reopen(Subscription.ended_at, said_no, agreed)),
        )
    )


def _permit(session: Session, chosen: Subquery, list_id: int, purpose_id: int, agreed: Agreement) -> None:
    """Only for those who are in the list now: consent for a topic the member left would be none."""
    rows = (
        select(chosen.c.member_id, literal(purpose_id), literal(agreed.happened_at))
        .where(_in_list(chosen, list_id))
        .order_by(chosen.c.member_id)
    )
    said_no = _own_no("permissions", ConsentRow.purpose_id == purpose_id)
    session.execute(
        insert(session, Permission)
        .from_select(["member_id", "purpose_id", "given_at"], rows)
        .on_conflict_do_update(
            index_elements=[Permission.member_id, Permission.purpose_id],
            set_={"given_at": agreed.happened_at, "withdrawn_at": None},
            where=and_(Permission.withdrawn_at.is_not(None), _may_reopen(Permission.withdrawn_at, said_no, agreed)),
        )
    )


def _write(session: Session, chosen: Subquery, list_id: int, purpose_id: int, agreed: Agreement, now: datetime) -> None:
    """One ledger row for each whose consent holds now."""
    wording_id = ledger.wording(session, agreed.wording, now=now)
    # One look by key for each row, as in _in_list.
    permitted = (
        select(Permission.withdrawn_at.is_(None))
        .where(Permission.member_id == chosen.c.member_id, Permission.purpose_id == purpose_id)
        .scalar_subquery()
    )
    values = {
        "act": literal(str(ConsentAct.OPT_IN)),
        "source": literal(str(ConsentSource.IMPORT)),
        "purpose_id": literal(purpose_id),
        "list_id": literal(list_id),
        "wording_id": literal(wording_id),
        "detail": literal({}, Document),
        "happened_at": literal(agreed.happened_at),
        "recorded_at": literal(now),
    }
    rows = (
        select(chosen.c.member_id, chosen.c.address_key, *values.values())
        .where(_in_list(chosen, list_id), permitted)
        .order_by(chosen.c.member_id)
    )
    session.execute(insert(session, ConsentRow).from_select(["member_id", "address_key", *values], rows))


def _in_list(chosen: Subquery, list_id: int) -> ColumnElement[bool]:
    """By a subquery for each row: as a join, without statistics of what was just written, PostgreSQL took 20 s for 4,000 rows."""
    return (
        select(Subscription.ended_at.is_(None))
        .where(Subscription.member_id == chosen.c.member_id, Subscription.list_id == list_id)
        .scalar_subquery()
    )


def _own_no(table: str, about: ColumnElement[bool]) -> ColumnElement[bool]:
    """The member of the conflicting row said no themselves. Its column by name: as an expression it would become a FROM of the subquery."""
    member_id: ColumnElement[int] = literal_column(f"{table}.member_id")
    return exists().where(ConsentRow.member_id == member_id, about, ConsentRow.act == ConsentAct.OPT_OUT, ConsentRow.source.in_(OWN_DOORS))


def _may_reopen(ended_at: Any, said_no: ColumnElement[bool], agreed: Agreement | None) -> ColumnElement[bool]:
    if agreed is not None and agreed.is_dated:
        return or_(ended_at < agreed.happened_at, ~said_no)
    return ~said_no
