"""What can be exported: members, deliveries, events, links, campaigns, suppressions. Each has columns and rows by pages in key order."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Select, and_, func, select, tuple_
from sqlalchemy.orm import Session

from kairan.database import Database
from kairan.models.audience import Attribute, List, Member, Subscription
from kairan.models.campaigns import Campaign, Link
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement, Event, EventKind, Rollup
from kairan.models.suppression import SuppressedDomain, Suppression
from mailer.reports import links, summary

PAGE = 5_000
"""rows: 40 ms of reading; larger pages are no faster and cost memory"""
CAMPAIGNS_PAGE = 50
TYPES = {"open": EventKind.OPEN, "click": EventKind.CLICK}
Row = tuple[Any, ...]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Column:
    """`kind`: id, number, text, flag, time (aware, UTC) or names (several texts). None of them is a word that SQL keeps for itself.

    `guarded`: what becomes of it for whoever may not see addresses: `masked` or `left out`.
    """

    name: str
    kind: str = "text"
    guarded: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part; None: all of it. `type`: a key of TYPES, for events."""

    campaign_id: int | None = None
    list_id: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    action: str
    """of mailer.accounts.authorize"""
    is_personal: bool
    columns: Callable[[Session], Sequence[Column]]
    total: Callable[[Session, Scope], int]
    """about how many rows, cheaply"""
    pages: Callable[[Database, Scope, Sequence[Column]], Iterator[list[Row]]]
    """rows of these columns: those that `columns` gave"""


def _paged(database: Database, read: Callable[[Session, Key], tuple[list[Row], Key | None]], first: Key) -> Iterator[list[Row]]:
    """A page for each call of `read`, each in a transaction of its own, until it names no next key."""
    key: Key | None = first
    while key is not None:
        with database.reading() as session:
            rows, key = read(session, key)
        if rows:
            yield rows


# ---- members

_MEMBER = (
    Column("member_id", "id"), Column("email", guarded="masked"), Column("first_name", guarded="left out"),
    Column("last_name", guarded="left out"), Column("locale"), Column("time_zone"), Column("format"), Column("recording"),
    Column("frequency"), Column("paused_until", "time"), Column("suspended_at", "time"), Column("awaiting_guardian", "flag"),
    Column("created_at", "time"), Column("updated_at", "time"), Column("lists", "names"),
)  # fmt: skip


_ATTRIBUTE = "attribute_"


def _member_columns(session: Session) -> Sequence[Column]:
    """The attributes that members have come after the rest, each as a column."""
    names = session.scalars(select(Attribute.name).order_by(Attribute.name))
    return [*_MEMBER, *(Column(f"{_ATTRIBUTE}{name}", guarded="left out") for name in names)]


def _of_list(query: Select[Any], scope: Scope) -> Select[Any]:
    if scope.list_id is None:
        return query
    return query.join(Subscription, Subscription.member_id == Member.id).where(
        Subscription.list_id == scope.list_id, Subscription.ended_at.is_(None)
    )


def _member_total(session: Session, scope: Scope) -> int:
    return session.scalar(_of_list(select(func.count()).select_from(Member), scope)) or 0


def _members(database: Database, scope: Scope, columns: Sequence[Column]) -> Iterator[list[Row]]:
    names = [column.name.removeprefix(_ATTRIBUTE) for column in columns[len(_MEMBER) :]]

    def read(session: Session, after: int) -> tuple[list[Row], int | None]:
        query = _of_list(select(Member), scope).where(Member.id > after).order_by(Member.id).limit(PAGE)
        members = list(session.scalars(query))
        lists = _lists_of(session, [member.id for member in members])
        rows = [_member_row(member, lists[member.id], names) for member in members]
        return rows, members[-1].id if len(members) == PAGE else None

    return _paged(database, read, 0)


def _lists_of(session: Session, member_ids: Sequence[int]) -> dict[int, list[str]]:
    """By the range of the page: thousands of ids in one statement would be more than SQLite takes."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    if member_ids:
        its = Subscription.member_id.between(member_ids[0], member_ids[-1]) & Subscription.ended_at.is_(None)
        query = select(Subscription.member_id, List.name).join(List, List.id == Subscription.list_id).where(its)
        for member_id, name in session.execute(query.order_by(List.name)):
            found[member_id].append(name)
    return found


def _member_row(member: Member, lists: list[str], names: Sequence[str]) -> Row:
    return (
        member.id, member.email, member.first_name, member.last_name, member.locale, member.time_zone, member.format, member.recording,
        member.frequency, member.paused_until, member.suspended_at, member.awaiting_guardian, member.created_at, member.updated_at, lists,
        *(_as_text(member.attributes.get(name)) for name in names),
    )  # fmt: skip


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- deliveries

_DELIVERY = (
    Column("campaign_id", "id"), Column("number", "id"), Column("member_id", "id"), Column("email", guarded="masked"), Column("state"),
    Column("reason"), Column("code", "number"), Column("reply", guarded="left out"), Column("tries", "number"), Column("ended_at", "time"),
    Column("opens", "number"), Column("clicks", "number"), Column("machine_opens", "number"), Column("machine_clicks", "number"),
    Column("first_open_at", "time"), Column("first_click_at", "time"), Column("last_at", "time"),
)  # fmt: skip


def _delivery_total(session: Session, scope: Scope) -> int:
    query = select(func.coalesce(func.sum(Campaign.audience), 0))
    return int(session.scalar(query if scope.campaign_id is None else query.where(Campaign.id == scope.campaign_id)) or 0)


def _deliveries(database: Database, scope: Scope, _columns: Sequence[Column]) -> Iterator[list[Row]]:
    place = tuple_(Delivery.campaign_id, Delivery.number)
    its = and_(Engagement.campaign_id == Delivery.campaign_id, Engagement.number == Delivery.number)
    of_delivery = (
        Delivery.campaign_id, Delivery.number, Delivery.member_id, Member.email, Delivery.state, Delivery.reason, Delivery.code,
        Delivery.reply, Delivery.tries, Delivery.ended_at,
    )  # fmt: skip
    of_member = (
        func.coalesce(Engagement.opens, 0), func.coalesce(Engagement.clicks, 0), func.coalesce(Engagement.machine_opens, 0),
        func.coalesce(Engagement.machine_clicks, 0), Engagement.first_open_at, Engagement.first_click_at, Engagement.last_at,
    )  # fmt: skip
    columns: tuple[Any, ...] = (*of_delivery, *of_member)
    whole = select(*columns).outerjoin(Member, Member.id == Delivery.member_id).outerjoin(Engagement, its)
    if scope.campaign_id is not None:
        whole = whole.where(Delivery.campaign_id == scope.campaign_id)
    whole = whole.order_by(Delivery.campaign_id, Delivery.number).limit(PAGE)

    def read(session: Session, after: tuple[int, int]) -> tuple[list[Row], tuple[int, int] | None]:
        beyond = Delivery.number > after[1] if scope.campaign_id is not None else place > tuple_(*after)
        found = session.execute(whole.where(beyond)).all()
        rows: list[Row] = [(*row[:4], State(row[4]).name.lower(), *row[5:]) for row in found]
        return rows, (found[-1][0], found[-1][1]) if len(found) == PAGE else None

    return _paged(database, read, (0, 0))


# ---- events

_EVENT = (
    Column("occurred_at", "time"), Column("type"), Column("member_id", "id"), Column("email", guarded="masked"), Column("link", "number"),
    Column("kind"), Column("label"), Column("machine", "flag"), Column("rule"), Column("client"), Column("campaign_id", "id"),
)  # fmt: skip
_Place = tuple[datetime, int, int]
_START: _Place = (datetime.min.replace(tzinfo=UTC), 0, 0)


def _event_total(session: Session, scope: Scope) -> int:
    """From the roll-ups: a count would read ten million rows. Fetches recorded in the aggregate have no event."""
    query = select(func.coalesce(func.sum(Rollup.people + Rollup.machines - Rollup.anonymous), 0))
    if scope.campaign_id is not None:
        query = query.where(Rollup.campaign_id == scope.campaign_id)
    if scope.type is not None:
        query = query.where(Rollup.kind == TYPES[scope.type])
    return int(session.scalar(query) or 0)


def _events(database: Database, scope: Scope, _columns: Sequence[Column]) -> Iterator[list[Row]]:
    """In the order of time."""
    query = _event_query(scope)
    place = tuple_(Event.occurred_at, Event.entry, Event.slot)

    def read(session: Session, after: _Place) -> tuple[list[Row], _Place | None]:
        # The first condition is what the index (campaign, time) is entered by; the second says where in that millisecond.
        page = query.where(Event.occurred_at >= after[0], place > tuple_(*after)) if after != _START else query
        found = session.execute(page).all()
        rows: list[Row] = [
            (row[0], "click" if row[3] == EventKind.CLICK else "open", row[4], row[5], row[6] or None, *row[7:]) for row in found
        ]
        return rows, (found[-1][0], found[-1][1], found[-1][2]) if len(found) == PAGE else None

    return _paged(database, read, _START)


def _event_query(scope: Scope) -> Select[Any]:
    place = Event.occurred_at, Event.entry, Event.slot
    shown: tuple[Any, ...] = (
        Event.kind, Event.member_id, Member.email, Event.link, Link.kind, Link.label, Event.machine, Event.rule, Event.client,
        Event.campaign_id,
    )  # fmt: skip
    query: Select[Any] = (
        select(*place, *shown)
        .outerjoin(Member, Member.id == Event.member_id)
        .outerjoin(Link, and_(Link.campaign_id == Event.campaign_id, Link.number == Event.link))
        .order_by(*place)
        .limit(PAGE)
    )
    if scope.campaign_id is not None:
        query = query.where(Event.campaign_id == scope.campaign_id)
    return query if scope.type is None else query.where(Event.kind == TYPES[scope.type])


# ---- aggregates

_LINK = (
    Column("campaign_id", "id"), Column("campaign"), Column("number", "number"), Column("kind"), Column("label"), Column("url"),
    Column("clicks", "number"), Column("unique_clicks", "number"), Column("machine_clicks", "number"),
)  # fmt: skip
_CAMPAIGN = (
    Column("campaign_id", "id"), Column("name"), Column("status"), Column("created_at", "time"), Column("started_at", "time"),
    Column("ended_at", "time"), *(Column(name, "number") for name in (
        "audience", "accepted", "rejected", "bounced", "unsubscribed", "complained", "opens", "unique_opens", "machine_opens", "clicks",
        "unique_clicks", "machine_clicks",
    )),
)  # fmt: skip


def _campaign_total(session: Session, scope: Scope) -> int:
    return 1 if scope.campaign_id is not None else session.scalar(select(func.count()).select_from(Campaign)) or 0


def _link_total(session: Session, scope: Scope) -> int:
    query = select(func.count()).select_from(Link)
    return session.scalar(query if scope.campaign_id is None else query.where(Link.campaign_id == scope.campaign_id)) or 0


def _by_campaign(
    make: Callable[[Session, Campaign], list[Row]],
) -> Callable[[Database, Scope, Sequence[Column]], Iterator[list[Row]]]:
    """Pages of what some campaigns give, in the order of their ids."""

    def pages(database: Database, scope: Scope, _columns: Sequence[Column]) -> Iterator[list[Row]]:
        query = select(Campaign).order_by(Campaign.id).limit(CAMPAIGNS_PAGE)
        if scope.campaign_id is not None:
            query = query.where(Campaign.id == scope.campaign_id)

        def read(session: Session, after: int) -> tuple[list[Row], int | None]:
            found = list(session.scalars(query.where(Campaign.id > after)))
            rows = [row for campaign in found for row in make(session, campaign)]
            return rows, found[-1].id if len(found) == CAMPAIGNS_PAGE else None

        return _paged(database, read, 0)

    return pages


def _link_rows(session: Session, campaign: Campaign) -> list[Row]:
    return [
        (campaign.id, campaign.name, link.number, link.kind, link.label, link.url, link.clicks, link.unique, link.machines)
        for link in links.links(session, campaign.id)
    ]


def _campaign_rows(session: Session, campaign: Campaign) -> list[Row]:
    report = summary.report(session, campaign.id)
    counts = (report[name] for name in ("audience", "accepted", "rejected", "bounced", "unsubscribed", "complained"))
    fetches = (report[what][who] for what in ("opens", "clicks") for who in ("people", "unique", "machines"))
    own = campaign.id, campaign.name, campaign.status, campaign.created_at, campaign.started_at, campaign.ended_at
    return [(*own, *counts, *fetches)]


# ---- suppressions

_SUPPRESSION = (
    Column("address_key"), Column("email", guarded="masked"), Column("domain"), Column("reason"), Column("source"), Column("actor"),
    Column("note", guarded="left out"), Column("campaign_id", "id"), Column("created_at", "time"),
)  # fmt: skip


def _suppression_total(session: Session, _scope: Scope) -> int:
    return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in (Suppression, SuppressedDomain))


def _suppressions(database: Database, _scope: Scope, _columns: Sequence[Column]) -> Iterator[list[Row]]:
    """The domains first, then the addresses; those that no member has are told by their key alone."""
    address = Member.address_key == Suppression.address_key

    def read_domains(session: Session, after: str) -> tuple[list[Row], str | None]:
        found = list(
            session.scalars(select(SuppressedDomain).where(SuppressedDomain.domain > after).order_by(SuppressedDomain.domain).limit(PAGE))
        )
        rows = [("", None, each.domain, "domain", "staff", each.actor, each.note, None, each.created_at) for each in found]
        return rows, found[-1].domain if len(found) == PAGE else None

    def read_addresses(session: Session, after: bytes) -> tuple[list[Row], bytes | None]:
        query = select(Suppression, Member.email).outerjoin(Member, address).where(Suppression.address_key > after)
        found = session.execute(query.order_by(Suppression.address_key).limit(PAGE)).all()
        rows = [
            (row.address_key.hex(), email, "", row.reason, row.source, row.actor, row.note, row.campaign_id, row.created_at)
            for row, email in found
        ]
        return rows, found[-1][0].address_key if len(found) == PAGE else None

    yield from _paged(database, read_domains, "")
    yield from _paged(database, read_addresses, b"")


SOURCES = {
    "members": Source("member.export", True, _member_columns, _member_total, _members),
    "deliveries": Source("events.export", True, lambda _session: _DELIVERY, _delivery_total, _deliveries),
    "events": Source("events.export", True, lambda _session: _EVENT, _event_total, _events),
    "links": Source("report.view", False, lambda _session: _LINK, _link_total, _by_campaign(_link_rows)),
    "suppressions": Source("member.export", True, lambda _session: _SUPPRESSION, _suppression_total, _suppressions),
    "campaigns": Source("report.view", False, lambda _session: _CAMPAIGN, _campaign_total, _by_campaign(_campaign_rows)),
}
