"""Members by API: added or merged, found, changed, erased; what happened with them, and every act of their will."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, missing, wrong
from mailer.api.shapes import Change, Given, Id, Ids, Line, Moment, PageQuery, Shown, Words, text_id
from mailer.audience import erasure, members, timeline
from unsubscribe import suppression
from unsubscribe.choices import NotPossible

Name = Annotated[str, StringConstraints(max_length=200)]
Value = str | bool | int | float | None
ENTRIES = 100


class ConsentGiven(Given):
    source: Line
    text: Words


class NewMember(Given):
    email: Annotated[str, StringConstraints(max_length=300)]
    first_name: Name = ""
    last_name: Name = ""
    locale: Annotated[str, StringConstraints(max_length=16)] = ""
    time_zone: Annotated[str, StringConstraints(max_length=64)] = ""
    attributes: dict[str, Value] = Field(default_factory=dict)
    lists: Ids = Field(default_factory=list)
    consent: ConsentGiven | None = None
    confirm: bool = False


class MemberChange(Change):
    email: Annotated[str, StringConstraints(max_length=300)] = ""
    first_name: Name = ""
    last_name: Name = ""
    locale: Annotated[str, StringConstraints(max_length=16)] = ""
    time_zone: Annotated[str, StringConstraints(max_length=64)] = ""
    attributes: dict[str, Value] = Field(default_factory=dict)
    format: Literal["html", "text"] = "html"
    recording: Literal["identified", "aggregate", "none"] = "identified"
    frequency: Literal["each", "weekly", "monthly", "pause30", "pause60", "pause90"] = "each"
    language: Literal["en", "ja"] = "en"


class MemberQuery(PageQuery):
    email: Annotated[str, StringConstraints(max_length=300)] | None = None
    list: Id | None = None


class TimelineQuery(Given):
    before: Moment | None = None
    limit: int = Field(ENTRIES, ge=1, le=1_000)


class MemberAdded(Shown):
    """Without personal data: this answer is kept for a day under its Idempotency-Key."""

    id: str
    lists: list[str]
    created_at: datetime
    updated_at: datetime


class MemberShown(Shown):
    id: str
    email: str
    first_name: str
    last_name: str
    locale: str
    time_zone: str | None
    attributes: dict[str, Any]
    lists: list[str]
    format: str
    recording: str
    frequency: str
    paused_until: datetime | None
    suspended_at: datetime | None
    suppressed: str | None
    """why the address gets no mail, if so"""
    created_at: datetime
    updated_at: datetime


class MemberPage(Shown):
    items: list[MemberShown]
    next: str | None


class TimelineEntry(Shown):
    at: datetime
    kind: str
    campaign_id: str | None
    campaign: str | None
    detail: dict[str, Any]


class Timeline(Shown):
    items: list[TimelineEntry]
    next: str | None
    """give it as `before`"""


class ConsentEntry(Shown):
    id: str
    happened_at: datetime
    recorded_at: datetime
    act: str
    source: str
    purpose: str | None
    list_id: str | None
    list: str | None
    campaign_id: str | None
    wording: str | None
    evidence: dict[str, Any]


class ConsentLedger(Shown):
    items: list[ConsentEntry]
    next: str | None


def shown(call: Call, session: Session, rows: list[Member]) -> list[MemberShown]:
    """Who may not see addresses sees them masked."""
    lists = members.list_ids(session, [row.id for row in rows])
    reasons = suppression.reasons(session, [row.id for row in rows])
    sees = call.may("member.address")
    return [
        MemberShown(
            id=str(row.id),
            email=row.email if sees else addresses.masked(row.email),
            first_name=row.first_name,
            last_name=row.last_name,
            locale=row.locale,
            time_zone=row.time_zone,
            attributes=row.attributes,
            lists=[str(number) for number in lists[row.id]],
            format=row.format,
            recording=row.recording,
            frequency=row.frequency,
            paused_until=row.paused_until,
            suspended_at=row.suspended_at,
            suppressed=reasons.get(row.id),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


@contextmanager
def _refusals() -> Iterator[None]:
    """What the domain refuses, as problems."""
    try:
        yield
    except members.UnknownMember:
        raise missing() from None
    except members.FieldRefused as refused:
        raise wrong(refused.field, str(refused)) from None
    except members.UnknownList:
        raise wrong("lists", _("There is no such list.")) from None
    except members.AddressErased:
        detail = _("The person of this address had their data erased. Only they themselves can come back.")
        raise Problem(409, detail, code="address-erased") from None
    except members.AddressTaken:
        raise Problem(409, _("Another member has this address."), code="address-taken") from None
    except NotPossible as refused:
        raise wrong(refused.field, _("One of: %(choices)s", choices=", ".join(refused.possible))) from None


@operation("POST", "/members", "member.edit", {201: MemberAdded, 200: MemberAdded}, body=NewMember, problems=(409,))
def create(call: Call, body: NewMember) -> Answer:
    """Adds a member (201), or merges into the one of this address (200): fields are filled, lists added, nothing is removed."""
    given = members.Given(body.email, body.first_name, body.last_name, body.locale, body.attributes, body.time_zone)
    agreed = members.Agreed(body.consent.source, body.consent.text) if body.consent else None
    with call.effect() as session, _refusals():
        keys = call.ground.secrets
        member, is_new = members.add(session, keys, given, now=call.now, lists=body.lists, agreed=agreed, confirm=body.confirm)
        call.audit(session, "member.add" if is_new else "member.merge", member.id)
        lists = [str(number) for number in members.list_ids(session, [member.id])[member.id]]
        added = MemberAdded(id=str(member.id), lists=lists, created_at=member.created_at, updated_at=member.updated_at)
        return call.say(201 if is_new else 200, added, Location=f"/api/v1/members/{member.id}")


@operation("GET", "/members", "member.view", {200: MemberPage}, query=MemberQuery)
def index(call: Call, query: MemberQuery) -> Answer:
    """Members by id; with `email` the one of that address, however it is written."""
    if query.email is not None:
        call.demand("member.address")
    with call.reading() as session:
        if query.email is not None:
            found = members.by_email(session, call.ground.secrets, query.email)
            return call.say(200, MemberPage(items=shown(call, session, [found] if found else []), next=None))
        rows, after = members.page(session, after=query.after, limit=query.limit, list_id=query.list)
        return call.say(200, MemberPage(items=shown(call, session, rows), next=text_id(after)))


@operation("GET", "/members/{member_id}", "member.view", {200: MemberShown}, problems=(404,))
def show(call: Call, member_id: int) -> Answer:
    """One member."""
    with call.reading() as session, _refusals():
        return call.say(200, shown(call, session, [members.get(session, member_id)])[0])


@operation("PATCH", "/members/{member_id}", "member.edit", {200: MemberShown}, body=MemberChange, problems=(404, 409))
def change(call: Call, member_id: int, body: MemberChange) -> Answer:
    """Sets what is given; attributes are merged, null takes one away. What it forbids holds once this is answered."""
    given = body.model_dump(exclude_unset=True)
    call.no_of(member_id)
    with call.effect() as session, _refusals():
        member = members.update(session, call.ground.secrets, member_id, given, now=call.now)
        call.audit(session, "member.change", member_id, names=sorted(given))
        return call.say(200, shown(call, session, [member])[0])


@operation("DELETE", "/members/{member_id}", "member.erase", {204: None}, problems=(404,))
def erase(call: Call, member_id: int) -> Answer:
    """Erases the member's data everywhere. The address cannot be imported back."""
    call.no_of(member_id)
    with call.effect() as session, _refusals():
        erasure.erase(session, member_id, now=call.now)
        call.audit(session, "member.erase", member_id)
        return call.say(204)


@operation("GET", "/members/{member_id}/timeline", "member.view", {200: Timeline}, query=TimelineQuery, problems=(404,))
def show_timeline(call: Call, member_id: int, query: TimelineQuery) -> Answer:
    """Mails, opens, clicks and acts of will, newest first."""
    with call.reading() as session, _refusals():
        members.get(session, member_id)
        found = timeline.timeline(session, member_id, limit=query.limit, before=query.before)
    entries = [_entry(call, entry) for entry in found]
    more = found[-1].at.isoformat().replace("+00:00", "Z") if len(found) == query.limit else None
    return call.say(200, Timeline(items=entries, next=more))


def _entry(call: Call, entry: timeline.Entry) -> TimelineEntry:
    hidden = set() if call.may("consent.view") else {"evidence", "wording", "words"}
    detail = {name: _shown_detail(name, value) for name, value in entry.detail.items() if name not in hidden}
    return TimelineEntry(at=entry.at, kind=entry.kind, campaign_id=text_id(entry.campaign_id), campaign=entry.campaign, detail=detail)


def _shown_detail(name: str, value: Any) -> Any:
    return text_id(value) if name in ("id", "list_id") else value


@operation("GET", "/members/{member_id}/consent", "consent.view", {200: ConsentLedger}, problems=(404,))
def show_consent(call: Call, member_id: int) -> Answer:
    """The ledger of the member's will, newest first, with wordings and evidence."""
    with call.reading() as session, _refusals():
        members.get(session, member_id)
        found = timeline.consents(session, member_id)
    return call.say(200, ConsentLedger(items=[_consent(entry) for entry in found], next=None))


def _consent(entry: timeline.Entry) -> ConsentEntry:
    detail = entry.detail
    return ConsentEntry(
        id=str(detail["id"]),
        happened_at=entry.at,
        recorded_at=detail["recorded_at"],
        act=detail["act"],
        source=detail["source"],
        purpose=detail["purpose"],
        list_id=text_id(detail["list_id"]),
        list=detail["list"],
        campaign_id=text_id(entry.campaign_id),
        wording=detail["wording"],
        evidence=detail.get("evidence", {}),
    )
