"""What every request stands on: the runtime, the time, who is signed in, in which language; and the marks that views carry."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from flask import current_app, flash, g, redirect, request
from redis.exceptions import RedisError
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import audit as audit_log
from kairan import clock
from kairan.runtime import Runtime
from kairan.settings import SettingError
from mailer.accounts.authorize import authorize, may
from mailer.accounts.sessions import Person

log = logging.getLogger(__name__)
View = TypeVar("View", bound=Callable[..., Any])
Answer = str | Response | tuple[str | Response, int]
"""what a view returns"""
FORM_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """What a view asks for. A view without one is never served (mailer.web.gatekeeper)."""

    action: str | None
    """an action of mailer.accounts.authorize; None: no sign-in needed"""
    max_bytes: int = FORM_MAX_BYTES


def allowed(action: str, max_bytes: int = FORM_MAX_BYTES) -> Callable[[View], View]:
    """The view is for those whose role covers the action."""
    return _marked(Mark(action, max_bytes))


def anyone(view: View) -> View:
    """The view is for everybody, signed in or not."""
    return _marked(Mark(None))(view)


def _marked(mark: Mark) -> Callable[[View], View]:
    def put(view: View) -> View:
        view.kairan_mark = mark  # type: ignore[attr-defined]
        return view

    return put


def runtime() -> Runtime:
    return cast(Runtime, current_app.extensions["kairan"])


@contextmanager
def reading() -> Iterator[Session]:
    with runtime().reading() as session:
        yield session


@contextmanager
def writing() -> Iterator[Session]:
    with runtime().writing() as session:
        yield session


def now() -> datetime:
    """The time of this request, the same for all it does."""
    if "now" not in g:
        g.now = clock.now()
    return cast(datetime, g.now)


def person() -> Person | None:
    return cast("Person | None", g.get("person"))


def signed_in() -> Person:
    """Who is signed in, in a view that asks for somebody."""
    found = person()
    if found is None:
        raise LookupError("nobody is signed in")
    return found


def zone() -> ZoneInfo:
    found = person()
    return ZoneInfo(found.time_zone if found else "UTC")


def can(action: str, thing: Any = None) -> bool:
    return may(person(), action, thing)


def demand(action: str, thing: Any = None) -> None:
    """Raises Forbidden: for an act that a view's own mark does not cover."""
    authorize(person(), action, thing)


def audit(session: Session, action: str, object_id: int | None = None, **detail: Any) -> None:
    """One row of the audit log, in the transaction of the act itself. Ids only."""
    found = person()
    actor = f"account:{found.id}" if found else "nobody"
    audit_log.note(session, actor, action, object_id, detail, now())


def back_to(path: str, message: str = "", kind: str = "ok") -> Response:
    """After a POST: a redirect, with what happened said on the next page."""
    if message:
        flash(message, kind)
    return redirect(path, 303)


def wants_json() -> bool:
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def is_fragment() -> bool:
    """htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def ring(bell: Callable[[], object]) -> None:
    """After the commit. A bell that cannot be rung (Redis away) changes nothing: a sweep rings again what waits too long."""
    try:
        bell()
    except (SettingError, OSError, RedisError):
        log.warning("a bell could not be rung: Redis does not answer")
