"""Members, one at a time: added or merged, read, changed, found. What they will goes through unsubscribe.consent.

Who changes something that a campaign depends on commits, then calls `unsubscribe.waiting.wait_for_gated` before the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from kairan import addresses, installation
from kairan.i18n import gettext as _
from kairan.models.audience import List, Member, Recording, Subscription
from kairan.models.consent import ConsentSource
from kairan.models.installation import LegalProfile
from kairan.models.suppression import SuppressionReason
from kairan.secrets import Secrets
from kairan.sql import insert
from mailer.audience import attributes, csv_rows
from unsubscribe import consent, ledger, moving, suppression
from unsubscribe.consent import LeftByThemselves, UnknownList
from unsubscribe.ledger import UnknownMember
from unsubscribe.moving import AddressErased, AddressTaken

__all__ = ["AddressErased", "AddressTaken", "UnknownList", "UnknownMember"]

PAGE_MAX = 1_000
_CHOICES = ("format", "recording", "frequency", "language")


class FieldRefused(ValueError):
    """A value that cannot be: `field`, and the message for the person who wrote it. AddressError and AttributeRefused become this."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name


@dataclass(frozen=True, slots=True)
class Agreed:
    """A consent that was given elsewhere: where, and to which words."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a member who is to be added or merged."""

    email: str
    first_name: str = ""
    last_name: str = ""
    locale: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    time_zone: str = ""


def add(
    session: Session,
    keys: Secrets,
    given: Given,
    *,
    now: datetime,
    lists: Sequence[int] = (),
    agreed: Agreed | None = None,
    confirm: bool = False,
    source: ConsentSource = ConsentSource.API,
    happened_at: datetime | None = None,
) -> tuple[Member, bool]:
    """(member, whether new). A known one is merged: what is empty is filled, lists are added, nothing is removed, a suppression stays.

    Without `agreed` the member is in the lists and no campaign reaches them. Raises FieldRefused, AddressErased, UnknownList.
    """
    if confirm:
        raise FieldRefused("confirm", _("Asking the member by mail first comes with the sign-up forms; it is not there yet."))
    if agreed and not lists:
        raise FieldRefused("consent", _("A consent needs a list: its purpose is what the member agrees to."))
    key, values = _checked(keys, given)
    _check_lists(session, lists)
    if suppression.reason_of(session, key) == SuppressionReason.ERASED:
        raise AddressErased
    attributes.learn(session, values["attributes"], now=now)
    member, is_new = _insert_or_merge(session, key, addresses.kept(given.email), values, now)
    for list_id in dict.fromkeys(lists):
        _enter(session, member.id, list_id, agreed, source, happened_at, now)
    return member, is_new


def _checked(keys: Secrets, given: Given) -> tuple[bytes, dict[str, Any]]:
    key = _key(keys, given.email)
    values = {"first_name": given.first_name, "last_name": given.last_name, "locale": given.locale}
    checked: dict[str, Any] = {name: _text(name, value) for name, value in values.items()}
    return key, {**checked, "time_zone": _text("time_zone", given.time_zone) or None, "attributes": _attributes(given.attributes)}


def _key(keys: Secrets, email: str) -> bytes:
    try:
        return keys.address_key(addresses.normal(email))
    except addresses.AddressError as error:
        raise FieldRefused("email", _("The address is not valid: %(reason)s", reason=csv_rows.why(error))) from error


def _text(name: str, value: str) -> str:
    text = value.strip()
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise FieldRefused(name, _("This is not a text."))
    try:
        return {"locale": csv_rows.locale, "time_zone": csv_rows.time_zone}.get(name, csv_rows.name)(text)
    except csv_rows.RowRefused as refused:
        message = str(refused)
        raise FieldRefused(name, message[:1].upper() + message[1:]) from refused


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return attributes.check(given)
    except attributes.AttributeRefused as refused:
        raise FieldRefused("attributes", str(refused)) from refused


def _check_lists(session: Session, lists: Sequence[int]) -> None:
    known = set(session.execute(select(List.id).where(List.id.in_(set(lists)))).scalars()) if lists else set()
    if missing := sorted(set(lists) - known):
        raise UnknownList(missing[0])


def _insert_or_merge(session: Session, key: bytes, email: str, values: dict[str, Any], now: datetime) -> tuple[Member, bool]:
    profile = session.get(LegalProfile, installation.get(session, "legal_profile"))
    recording = profile.recording if profile else Recording.IDENTIFIED
    new_id = session.execute(
        insert(session, Member)
        .values(address_key=key, email=email, **values, recording=recording, created_at=now, updated_at=now)
        .on_conflict_do_nothing(index_elements=[Member.address_key])
        .returning(Member.id)
    ).scalar_one_or_none()
    if new_id is not None:
        return session.get_one(Member, new_id), True
    member = ledger.hold(session, session.execute(select(Member.id).where(Member.address_key == key)).scalar_one())
    _fill(member, values, now)
    session.flush()
    return member, False


def _fill(member: Member, values: dict[str, Any], now: datetime) -> None:
    before = (member.first_name, member.last_name, member.locale, member.time_zone, member.attributes)
    for name in ("first_name", "last_name", "locale", "time_zone"):
        setattr(member, name, getattr(member, name) or values[name])
    member.attributes = {**values["attributes"], **member.attributes}
    if before != (member.first_name, member.last_name, member.locale, member.time_zone, member.attributes):
        member.updated_at = now


def _enter(
    session: Session,
    member_id: int,
    list_id: int,
    agreed: Agreed | None,
    source: ConsentSource,
    happened_at: datetime | None,
    now: datetime,
) -> None:
    if agreed:
        detail = {"source": agreed.source}
        consent.opt_in(session, member_id, list_id, source=source, wording=agreed.text, happened_at=happened_at, detail=detail, now=now)
        return
    try:
        consent.put_in_list(session, member_id, list_id, now=now)
    except LeftByThemselves:
        return  # merging removes no no


# ---- reading


def get(session: Session, member_id: int) -> Member:
    """Raises UnknownMember."""
    found = session.get(Member, member_id)
    if found is None:
        raise UnknownMember(member_id)
    return found


def by_email(session: Session, keys: Secrets, email: str) -> Member | None:
    """However the address is written; None also for what is no address."""
    try:
        key = keys.address_key(addresses.normal(email))
    except addresses.AddressError:
        return None
    return session.execute(select(Member).where(Member.address_key == key)).scalar_one_or_none()


def page(
    session: Session, *, after: int = 0, limit: int = 100, search: str = "", list_id: int | None = None
) -> tuple[list[Member], int | None]:
    """(members by id, the id to go on after or None). `search`: address or name begins with it."""
    limit = min(limit, PAGE_MAX)
    query = select(Member).where(Member.id > after).order_by(Member.id).limit(limit + 1)
    if search.strip():
        query = query.where(begins_with(search.strip()))
    if list_id is not None:
        in_list = select(Subscription.member_id).where(Subscription.list_id == list_id, Subscription.ended_at.is_(None))
        query = query.where(Member.id.in_(in_list))
    rows = list(session.execute(query).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def begins_with(search: str) -> ColumnElement[bool]:
    columns = (Member.email, Member.first_name, Member.last_name)
    return or_(*(func.lower(column).startswith(search.lower(), autoescape=True) for column in columns))


def list_ids(session: Session, member_ids: Sequence[int]) -> dict[int, list[int]]:
    """member → the lists they are in now."""
    found: dict[int, list[int]] = {member_id: [] for member_id in member_ids}
    rows = session.execute(
        select(Subscription.member_id, Subscription.list_id)
        .where(Subscription.member_id.in_(member_ids), Subscription.ended_at.is_(None))
        .order_by(Subscription.member_id, Subscription.list_id)
    )
    for member_id, list_id in rows:
        found[member_id].append(list_id)
    return found


# ---- changing


def update(
    session: Session, keys: Secrets, member_id: int, changes: Mapping[str, Any], *, now: datetime, source: ConsentSource = ConsentSource.API
) -> Member:
    """Sets what is given: email, names, locale, time_zone, attributes (merged; None takes one away), format, recording, frequency,
    language.

    Raises UnknownMember, FieldRefused, AddressTaken, AddressErased, unsubscribe.choices.NotPossible.
    """
    member = ledger.hold(session, member_id)
    for name in ("first_name", "last_name", "locale"):
        if name in changes:
            setattr(member, name, _text(name, changes[name] or ""))
    if "time_zone" in changes:
        member.time_zone = _text("time_zone", changes["time_zone"] or "") or None
    if "attributes" in changes:
        _change_attributes(session, member, changes["attributes"] or {}, now)
    if "email" in changes:
        moving.move(session, member, changes["email"], _key(keys, changes["email"]), source=source, now=now)
    member.updated_at = now
    session.flush()
    wanted = {name: changes[name] for name in _CHOICES if changes.get(name) is not None}
    if wanted:
        consent.choose(session, member_id, source=source, now=now, **wanted)
    return member


def _change_attributes(session: Session, member: Member, given: Mapping[str, Any], now: datetime) -> None:
    wanted = _attributes(given)
    attributes.learn(session, wanted, now=now)
    kept = {name: value for name, value in member.attributes.items() if name not in given}
    member.attributes = _attributes({**kept, **wanted})
