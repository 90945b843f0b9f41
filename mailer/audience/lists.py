"""Lists: topics with a stated purpose, who is in them, and how many of those a campaign may reach."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.audience import List, Member, Subscription
from kairan.models.consent import ConsentSource, Permission
from kairan.models.suppression import Suppression
from kairan.sql import among
from unsubscribe import consent
from unsubscribe.consent import LeftByThemselves, UnknownList

__all__ = ["LeftByThemselves", "UnknownList"]

PAGE_MAX = 1_000
SLUG = re.compile(r"[a-z](?:[a-z0-9-]{0,62}[a-z0-9])?")
"""begins with a letter, so that it is no id"""


class NameTaken(ValueError):
    """There is a list of this name already."""


class SlugTaken(ValueError):
    """Another list's archive has this address already."""


class NotASlug(ValueError):
    """Not what an address may end in; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the members who are in the list now."""

    members: int = 0
    consented: int = 0
    """whose consent for the list's purpose holds"""
    suppressed: int = 0


def create(session: Session, name: str, purpose: str, *, now: datetime, description: str = "", public: bool = False) -> List:
    """Equal purposes are one: a member's consent for it holds for each of its lists. Raises NameTaken."""
    purpose_id = consent.purpose(session, purpose.strip(), now=now)
    row = List(name=name.strip(), purpose_id=purpose_id, description=description.strip(), public=public, created_at=now)
    with _one_name(session, row.name):
        session.add(row)
    return row


def get(session: Session, list_id: int) -> List:
    """Raises UnknownList."""
    found = session.get(List, list_id)
    if found is None:
        raise UnknownList(list_id)
    return found


def change(
    session: Session,
    list_id: int,
    *,
    now: datetime,
    name: str | None = None,
    description: str | None = None,
    public: bool | None = None,
    public_archive: bool | None = None,
    slug: str | None = None,
) -> List:
    """What is None stays; an empty slug gives the archive its id back. The purpose never changes: members agreed to that one.

    Raises UnknownList, NameTaken, SlugTaken, NotASlug.
    """
    row = get(session, list_id)
    if slug is not None:
        _set_slug(session, row, slug.strip())
    with _one_name(session, name or row.name):
        row.name = row.name if name is None else name.strip()
        row.description = row.description if description is None else description.strip()
        row.public = row.public if public is None else public
        row.public_archive = row.public_archive if public_archive is None else public_archive
        row.changed_at = now
    return row


def _set_slug(session: Session, row: List, slug: str) -> None:
    """Of two lists that want one slug at the same moment the second is told as well."""
    if slug and not SLUG.fullmatch(slug):
        raise NotASlug(_("Write the address with the letters a to z, digits and hyphens, beginning with a letter: such as club-news."))
    try:
        with session.begin_nested():
            row.slug = slug or None
            session.flush()
    except IntegrityError as error:
        raise SlugTaken(slug) from error


@contextmanager
def _one_name(session: Session, name: str) -> Iterator[None]:
    """What is done inside is undone alone if the name is taken; the caller's transaction goes on."""
    try:
        with session.begin_nested():
            yield
            session.flush()
    except IntegrityError as error:
        raise NameTaken(name) from error


def archive(session: Session, list_id: int, *, now: datetime) -> List:
    """Takes it out of sight; its members and their consents stay. Raises UnknownList."""
    row = get(session, list_id)
    row.archived_at = row.archived_at or now
    session.flush()
    return row


def page(session: Session, *, after: int = 0, limit: int = 100, archived: bool = False) -> tuple[list[List], int | None]:
    """(lists by id, the id to go on after or None)."""
    limit = min(limit, PAGE_MAX)
    query = select(List).where(List.id > after).order_by(List.id).limit(limit + 1)
    if not archived:
        query = query.where(List.archived_at.is_(None))
    rows = list(session.execute(query).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def counts(session: Session, list_ids: Sequence[int]) -> dict[int, Counts]:
    """For each of these lists, in one pass over their subscriptions."""
    rows = session.execute(
        select(Subscription.list_id, func.count(), func.count(Permission.member_id), func.count(Suppression.address_key))
        .join(List, List.id == Subscription.list_id)
        .join(Member, Member.id == Subscription.member_id)
        .outerjoin(
            Permission,
            (Permission.member_id == Subscription.member_id)
            & (Permission.purpose_id == List.purpose_id)
            & Permission.withdrawn_at.is_(None),
        )
        .outerjoin(Suppression, Suppression.address_key == Member.address_key)
        .where(among(session, Subscription.list_id, list_ids), Subscription.ended_at.is_(None))
        .group_by(Subscription.list_id)
    )
    found = {list_id: Counts(members, consented, suppressed) for list_id, members, consented, suppressed in rows}
    return {list_id: found.get(list_id, Counts()) for list_id in list_ids}


def put_member(session: Session, list_id: int, member_id: int, *, now: datetime) -> bool:
    """Into the list, without consent. False: was in it. Raises UnknownList, UnknownMember, LeftByThemselves."""
    return consent.put_in_list(session, member_id, list_id, now=now)


def remove_member(session: Session, list_id: int, member_id: int, *, now: datetime, source: ConsentSource = ConsentSource.STAFF) -> bool:
    """Out of the list. False: was not in it. The caller commits and waits (unsubscribe.waiting). Raises UnknownList, UnknownMember."""
    return consent.opt_out(session, member_id, list_id, source=source, now=now)
