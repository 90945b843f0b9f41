"""`Idempotency-Key`: the same POST sent again gets the first answer and does nothing, for 24 hours.

A key is taken in the transaction of the effect and its answer stored there, so both are there or neither. What needs several
transactions (import, pause, resume, cancel) takes it in one of its own: who comes meanwhile is told that the first is under way.
Answers are stored for a day, so the answer of a POST holds no personal data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.accounts import IdempotencyKey
from kairan.sql import insert, locked
from mailer.api.problems import Problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT = timedelta(hours=24)
BROKEN = timedelta(minutes=30)
"""under way for longer: the process died (no call takes so long), and the key may be used again"""
KEY_MAX = 200
REMOVED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call says: sent to the caller, and stored under its key."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    members: tuple[int, ...] = ()
    """whose no this was: also a repetition waits until no mail to them can start"""

    def as_row(self) -> dict[str, Any]:
        return {"body": self.body, "headers": dict(self.headers), "members": list(self.members)}


class Replayed(Exception):
    """The call was made before: `answer` is what it was told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("replayed")
        self.answer = answer


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Of a request; `path` with its query."""
    return sha256(b"\n".join((method.encode(), path.encode(), body))).digest()


@dataclass(frozen=True, slots=True)
class Claim:
    """One key of one token, and the request it stands for."""

    token_id: int
    key: str
    request_hash: bytes

    def look(self, session: Session, now: datetime) -> None:
        """Raises Replayed or Problem where the key was used; does nothing else."""
        row = session.execute(select(IdempotencyKey).where(*self._own(), IdempotencyKey.created_at > now - KEPT)).scalar_one_or_none()
        if row is None:
            return
        if bytes(row.request_hash) != self.request_hash:
            raise Problem(422, _("This key was used for another request. Use a new one."), code="idempotency-key-reused")
        if row.answer is not None and row.status is not None:
            raise Replayed(Answer(row.status, row.answer["body"], row.answer["headers"], tuple(row.answer["members"])))
        if row.created_at > now - BROKEN:
            raise Problem(409, _("The first request with this key is still under way."), code="idempotency-key-in-flight")

    def take(self, session: Session, now: datetime) -> None:
        """Writes the key, without an answer yet; waits for another transaction that is doing the same. Raises Replayed, Problem."""
        self._remove_old(session, now)
        if self._insert(session, now):
            return
        self.look(session, now)
        session.execute(delete(IdempotencyKey).where(*self._own(), IdempotencyKey.status.is_(None)))
        if not self._insert(session, now):
            raise Problem(409, code="idempotency-key-in-flight")

    def keep(self, session: Session, answer: Answer) -> None:
        session.execute(update(IdempotencyKey).where(*self._own()).values(status=answer.status, answer=answer.as_row()))

    def drop(self, session: Session) -> None:
        """Nothing came of it: the key is free again."""
        session.execute(delete(IdempotencyKey).where(*self._own(), IdempotencyKey.status.is_(None)))

    def _own(self) -> tuple[Any, Any]:
        return IdempotencyKey.token_id == self.token_id, IdempotencyKey.key == self.key

    def _insert(self, session: Session, now: datetime) -> bool:
        values = {"token_id": self.token_id, "key": self.key, "request_hash": self.request_hash, "created_at": now}
        made = session.execute(
            insert(session, IdempotencyKey)
            .values(**values)
            .on_conflict_do_nothing(index_elements=[IdempotencyKey.token_id, IdempotencyKey.key])
            .returning(IdempotencyKey.id)
        )
        return made.scalar_one_or_none() is not None

    def _remove_old(self, session: Session, now: datetime) -> None:
        """This key's own, and a few of everybody's: the table holds what came in a day."""
        session.execute(delete(IdempotencyKey).where(*self._own(), IdempotencyKey.created_at <= now - KEPT))
        old = select(IdempotencyKey.id).where(IdempotencyKey.created_at <= now - KEPT).limit(REMOVED_AT_ONCE)
        ids = list(session.execute(locked(old, session, skip=True)).scalars())
        if ids:
            session.execute(delete(IdempotencyKey).where(IdempotencyKey.id.in_(ids)))
