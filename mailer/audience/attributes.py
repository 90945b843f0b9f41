"""Attributes: the fields that members have beside the built-in ones, known by name from the first time one is seen."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.audience import Attribute
from kairan.sql import insert

BUILT_IN = ("email", "first_name", "last_name", "locale", "time_zone")
VALUE_MAX = 10_240
ATTRIBUTES_MAX = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class AttributeRefused(ValueError):
    """A name or value that no attribute can have; the message says why, for the person who wrote it."""


def check_name(name: str) -> str:
    """Raises AttributeRefused."""
    if not _NAME.fullmatch(name) or name in (*BUILT_IN, "id"):
        raise AttributeRefused(
            _(
                "“%(name)s” cannot name an attribute: use a small letter first, then small letters, digits and _, 64 at most.",
                name=name[:80],
            )
        )
    return name


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as they are stored: texts, numbers and yes/no; empty ones are left out. Raises AttributeRefused."""
    if len(given) > ATTRIBUTES_MAX:
        raise AttributeRefused(_("A member has at most %(max)s attributes.", max=ATTRIBUTES_MAX))
    return {check_name(name): _checked(name, value) for name, value in given.items() if value not in (None, "")}


def _checked(name: str, value: Any) -> Any:
    if not isinstance(value, str | int | float | bool) or value != value or value in (float("inf"), float("-inf")):
        raise AttributeRefused(_("The attribute “%(name)s” must be a text, a number, true or false.", name=name))
    if isinstance(value, str) and (len(value) > VALUE_MAX or "\x00" in value):
        raise AttributeRefused(_("The attribute “%(name)s” is too long or holds a NUL character.", name=name))
    return value


def kind_of(value: Any) -> str:
    """boolean, number or text."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


def learn(session: Session, seen: Mapping[str, Any] | Iterable[str], *, now: datetime) -> None:
    """Makes the names known that are not yet; names alone are texts."""
    kinds = {name: kind_of(value) for name, value in seen.items()} if isinstance(seen, Mapping) else dict.fromkeys(seen, "text")
    if kinds:
        rows = [{"name": name, "kind": kind, "created_at": now} for name, kind in sorted(kinds.items())]
        session.execute(insert(session, Attribute).values(rows).on_conflict_do_nothing())


def known(session: Session) -> list[Attribute]:
    return list(session.execute(select(Attribute).order_by(Attribute.name)).scalars())
