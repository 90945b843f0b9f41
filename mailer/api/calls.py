"""One call of the API: who makes it, what it says, what it does in one transaction, and what it is answered."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from kairan import audit
from kairan.models.accounts import ApiToken
from kairan.runtime import Runtime
from kairan.settings import SettingError
from mailer.accounts.authorize import authorize, may
from mailer.api.idempotency import Answer, Claim
from unsubscribe.waiting import wait_for_gated

log = logging.getLogger(__name__)


@dataclass
class Call:
    """Handed to every view. A view that changes something does it inside `effect` (or `long_effect`) and ends with `say`."""

    ground: Runtime
    now: datetime
    token: ApiToken | None
    claim: Claim | None = None
    said: Answer | None = None
    members: list[int] = field(default_factory=list)
    bells: list[Callable[[], object]] = field(default_factory=list)

    @property
    def actor(self) -> str:
        return f"token:{self.token.id}" if self.token else "nobody"

    def may(self, action: str) -> bool:
        return may(self.token, action)

    def demand(self, action: str) -> None:
        """Raises Forbidden: for a part of a call that its own action does not cover."""
        authorize(self.token, action)

    def audit(self, session: Session, action: str, object_id: int | None = None, **detail: Any) -> None:
        """In the transaction of the act itself. Ids only."""
        audit.note(session, self.actor, action, object_id, detail, self.now)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with self.ground.reading() as session:
            yield session

    @contextmanager
    def effect(self) -> Iterator[Session]:
        """One transaction with everything the call does, its key and its answer. Afterwards waits and rings."""
        with self.ground.writing() as session:
            if self.claim:
                self.claim.take(session, self.now)
            yield session
            if self.claim:
                self.claim.keep(session, self.answer)
        for member_id in self.members:
            wait_for_gated(self.ground.database, member_id)
        for bell in self.bells:
            ring(bell)

    @contextmanager
    def long_effect(self) -> Iterator[None]:
        """For what takes transactions of its own: the key is taken before and its answer stored after."""
        if self.claim is None:
            yield
            return
        with self.ground.writing() as session:
            self.claim.take(session, self.now)
        try:
            yield
        except BaseException:
            with self.ground.writing() as session:
                self.claim.drop(session)
            raise
        with self.ground.writing() as session:
            self.claim.keep(session, self.answer)

    def no_of(self, member_id: int) -> None:
        """The call writes a no of this member: it is answered when no mail against it can start any more."""
        self.members.append(member_id)

    def then_ring(self, bell: Callable[[], object]) -> None:
        self.bells.append(bell)

    def say(self, status: int, body: BaseModel | None = None, **headers: str) -> Answer:
        shown = None if body is None else body.model_dump(mode="json", by_alias=True)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.said = Answer(status, shown, named, tuple(self.members))
        return self.said

    @property
    def answer(self) -> Answer:
        if self.said is None:
            raise LookupError("the view said nothing")
        return self.said


def ring(bell: Callable[[], object]) -> None:
    """After the commit. A bell that cannot be rung (Redis away) changes nothing: a sweep rings again what waits too long."""
    try:
        bell()
    except (SettingError, OSError, RedisError):
        log.warning("a bell could not be rung: Redis does not answer")


# ---- the operations there are

View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, with all that its check and its description need."""

    method: str
    path: str
    """below /api/v1, such as `/lists/{list_id}`"""
    action: str | None
    """of mailer.accounts.authorize; None: no token needed"""
    view: View
    answers: Mapping[int, type[BaseModel] | str | None]
    """status → model of the answer, a media type, or nothing"""
    body: type[BaseModel] | str | None
    """model of the body, or the media type of a body that the view reads itself"""
    query: type[BaseModel] | None
    problems: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.view.__module__.rpartition('.')[2]}_{self.view.__name__}"


OPERATIONS: list[Operation] = []


def operation(
    method: str,
    path: str,
    action: str | None,
    answers: Mapping[int, type[BaseModel] | str | None],
    *,
    body: type[BaseModel] | str | None = None,
    query: type[BaseModel] | None = None,
    problems: tuple[int, ...] = (),
) -> Callable[[View], View]:
    """Puts the view into the API; its first line of docstring says what it does."""

    def put(view: View) -> View:
        OPERATIONS.append(Operation(method, path, action, view, answers, body, query, problems))
        return view

    return put
