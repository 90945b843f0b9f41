"""Lists by API: made, shown, changed, and who is in them."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.audience import List, Purpose
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, missing, wrong
from mailer.api.shapes import Change, Given, Line, PageQuery, Shown, text_id
from mailer.audience import lists
from unsubscribe.ledger import UnknownMember

Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)]


Slug = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]


class NewList(Given):
    name: Line
    purpose: Line
    description: Description = ""
    public: bool = False


class ListChange(Change):
    name: Line = ""
    description: Description = ""
    public: bool = False
    public_archive: bool = False
    slug: Slug = ""
    """the archive's name in its address; empty: the list's id"""


class ListShown(Shown):
    id: str
    name: str
    purpose: str
    description: str
    public: bool
    public_archive: bool
    """its sent campaigns are open to everybody at /archive/LIST"""
    slug: str | None
    """LIST in that address, beside the list's id"""
    members: int
    consented: int
    suppressed: int
    created_at: datetime
    archived_at: datetime | None


class ListPage(Shown):
    items: list[ListShown]
    next: str | None


def shown(session: Session, rows: list[List]) -> list[ListShown]:
    counts = lists.counts(session, [row.id for row in rows])
    ids = {row.purpose_id for row in rows}
    purposes = {row.id: row.name for row in session.execute(select(Purpose.id, Purpose.name).where(Purpose.id.in_(ids)))}
    return [
        ListShown(
            id=str(row.id),
            name=row.name,
            purpose=purposes[row.purpose_id],
            description=row.description,
            public=row.public,
            public_archive=row.public_archive,
            slug=row.slug,
            members=counts[row.id].members,
            consented=counts[row.id].consented,
            suppressed=counts[row.id].suppressed,
            created_at=row.created_at,
            archived_at=row.archived_at,
        )
        for row in rows
    ]


def _slug_taken() -> Problem:
    detail = _("The archive of another list has this address already.")
    return Problem(409, detail, code="slug-taken", errors=[{"pointer": "#/slug", "detail": detail}])


def _taken() -> Problem:
    detail = _("There is a list of this name already.")
    return Problem(409, detail, code="name-taken", errors=[{"pointer": "#/name", "detail": detail}])


@operation("POST", "/lists", "list.edit", {201: ListShown}, body=NewList, problems=(409,))
def create(call: Call, body: NewList) -> Answer:
    """Makes a list with the one purpose its members agree to."""
    with call.effect() as session:
        try:
            row = lists.create(session, body.name, body.purpose, description=body.description, public=body.public, now=call.now)
        except lists.NameTaken:
            raise _taken() from None
        call.audit(session, "list.create", row.id)
        return call.say(201, shown(session, [row])[0], Location=f"/api/v1/lists/{row.id}")


@operation("GET", "/lists", "list.view", {200: ListPage}, query=PageQuery)
def index(call: Call, query: PageQuery) -> Answer:
    """All lists that are not archived, by id."""
    with call.reading() as session:
        rows, after = lists.page(session, after=query.after, limit=query.limit)
        return call.say(200, ListPage(items=shown(session, rows), next=text_id(after)))


@operation("GET", "/lists/{list_id}", "list.view", {200: ListShown}, problems=(404,))
def show(call: Call, list_id: int) -> Answer:
    """One list with the number of its members."""
    with call.reading() as session:
        try:
            return call.say(200, shown(session, [lists.get(session, list_id)])[0])
        except lists.UnknownList:
            raise missing() from None


@operation("PATCH", "/lists/{list_id}", "list.edit", {200: ListShown}, body=ListChange, problems=(404, 409))
def change(call: Call, list_id: int, body: ListChange) -> Answer:
    """Changes name, description, whether it is offered, and its public archive. The purpose never changes: members agreed to that one."""
    given = body.model_dump(exclude_unset=True)
    with call.effect() as session:
        try:
            row = lists.change(session, list_id, now=call.now, **given)
        except lists.UnknownList:
            raise missing() from None
        except lists.NameTaken:
            raise _taken() from None
        except lists.SlugTaken:
            raise _slug_taken() from None
        except lists.NotASlug as error:
            raise wrong("slug", str(error)) from error
        call.audit(session, "list.change", list_id, names=sorted(given))
        return call.say(200, shown(session, [row])[0])


@operation("PUT", "/lists/{list_id}/members/{member_id}", "member.edit", {204: None}, problems=(404, 409))
def put_member(call: Call, list_id: int, member_id: int) -> Answer:
    """Puts a member into the list, without consent."""
    with call.effect() as session:
        try:
            added = lists.put_member(session, list_id, member_id, now=call.now)
        except (lists.UnknownList, UnknownMember):
            raise missing() from None
        except lists.LeftByThemselves:
            raise Problem(409, _("The member left this list. Only a new consent brings them back."), code="left-by-themselves") from None
        if added:
            call.audit(session, "list.member.add", list_id, member=member_id)
        return call.say(204)


@operation("DELETE", "/lists/{list_id}/members/{member_id}", "member.edit", {204: None}, problems=(404,))
def remove_member(call: Call, list_id: int, member_id: int) -> Answer:
    """Takes a member out of the list. Once this is answered, no mail to them through this list starts any more."""
    call.no_of(member_id)
    with call.effect() as session:
        try:
            removed = lists.remove_member(session, list_id, member_id, now=call.now)
        except (lists.UnknownList, UnknownMember):
            raise missing() from None
        if removed:
            call.audit(session, "list.member.remove", list_id, member=member_id)
        return call.say(204)
