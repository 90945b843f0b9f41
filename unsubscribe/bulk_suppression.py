"""Many addresses put on the suppression list at once, as a file brings them: sets of rows in single statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from kairan.models.audience import Member
from kairan.models.consent import ConsentAct, ConsentSource
from kairan.models.suppression import Suppression, SuppressionReason
from kairan.sql import insert, locked
from unsubscribe import ledger
from unsubscribe.suppression import STRENGTH


@dataclass(frozen=True, slots=True)
class Wanted:
    """One address of a file, by its key."""

    address_key: bytes
    reason: SuppressionReason
    note: str = ""


def suppress(session: Session, wanted: Sequence[Wanted], *, actor: str, now: datetime) -> int:
    """How many were not on the list, or for a weaker reason. Their keys must be distinct.

    The members among them are locked by id first, as the gate locks them, so that no gate passes one unseen.
    """
    keys = [each.address_key for each in wanted]
    query = locked(select(Member).where(Member.address_key.in_(keys)).order_by(Member.id), session)
    members = {bytes(member.address_key): member for member in session.execute(query).scalars()}
    rows = [
        {
            "address_key": each.address_key,
            "reason": each.reason,
            "note": each.note,
            "member_id": members[each.address_key].id if each.address_key in members else None,
            "source": ConsentSource.IMPORT,
            "actor": actor,
            "created_at": now,
        }
        for each in sorted(wanted, key=lambda each: each.address_key)
    ]
    statement = insert(session, Suppression).values(rows)
    given = {name: statement.excluded[name] for name in ("reason", "note", "member_id", "source", "actor", "created_at")}
    statement = statement.on_conflict_do_update(
        index_elements=[Suppression.address_key],
        set_={**given, "campaign_id": None},
        where=_strength(Suppression.reason) < _strength(statement.excluded.reason),
    )
    written = {bytes(key) for key in session.execute(statement.returning(Suppression.address_key)).scalars()}
    reasons = {each.address_key: each.reason for each in wanted}
    for key in written & members.keys():
        detail = {"reason": str(reasons[key])}
        ledger.write(session, members[key], ConsentAct.SUPPRESS, ConsentSource.IMPORT, detail=detail, now=now)
    return len(written)


def _strength(reason: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[int]:
    return case(*((reason == name, number) for name, number in STRENGTH.items()), else_=0)
