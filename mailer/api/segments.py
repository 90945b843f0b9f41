"""Segments by API: made, shown, changed, deleted; how many members fit, and some of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.segments import Segment
from kairan.sql import TookTooLong
from mailer.api import members
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.members import MemberShown
from mailer.api.problems import Problem, missing
from mailer.api.shapes import Change, Given, Line, PageQuery, Shown, text_id
from mailer.audience import rules, segments
from mailer.audience.rules import Fault, RuleRefused

Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000)]
Rule = Annotated[dict[str, Any], Field(description="A group of all, any or none: docs/segments.md.")]


class NewSegment(Given):
    name: Line
    description: Description = ""
    rule: Rule


class SegmentChange(Change):
    name: Line = ""
    description: Description = ""
    rule: Rule = Field(default_factory=dict)


class RuleGiven(Given):
    rule: Rule


class SegmentMade(Shown):
    """Without the rule, which may name members: this answer is kept for a day under its Idempotency-Key."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime


class SegmentShown(SegmentMade):
    description: str
    rule: dict[str, Any]
    campaigns: list[str]
    """that it narrows or whose recipients it leaves out, at most fifty: those that are not over first"""


class SegmentPage(Shown):
    items: list[SegmentShown]
    next: str | None


class Counted(Shown):
    members: int | None
    """who fit now, whether or not they may be mailed; null: counting took longer than half a minute and was ended"""


class Sample(Shown):
    items: list[MemberShown]
    complete: bool
    """false: looking for them took longer than half a minute and was ended"""


def _made(row: Segment) -> dict[str, Any]:
    return {"id": str(row.id), "name": row.name, "created_at": row.created_at, "updated_at": row.updated_at}


def _shown(session: Session, row: Segment) -> SegmentShown:
    used = [str(campaign.id) for campaign in segments.uses(session, row.id)]
    return SegmentShown(**_made(row), description=row.description, rule=row.rule, campaigns=used)


@contextmanager
def _said(rule: dict[str, Any] | None = None) -> Iterator[None]:
    """Raises Problem for what the segments refuse."""
    try:
        yield
    except segments.UnknownSegment:
        raise missing() from None
    except segments.NameTaken:
        detail = _("There is a segment of this name already.")
        raise Problem(409, detail, code="name-taken", errors=[{"pointer": "#/name", "detail": detail}]) from None
    except segments.InUse as used:
        detail = _("Campaigns that are not over use it: %(names)s. Take it out of them first.", names=", ".join(used.names))
        raise Problem(409, detail, code="in-use") from None
    except RuleRefused as refused:
        errors = [{"pointer": pointer(rule or {}, fault), "detail": fault.message} for fault in refused.faults]
        raise Problem(422, errors=errors) from None


def pointer(rule: dict[str, Any], fault: Fault) -> str:
    """Where it is in the body, such as `#/rule/all/0/value`."""
    names, here = ["#", "rule"], rule
    for at in fault.path:
        kind = next(iter(here))
        names += [kind, str(at)]
        here = here[kind][at]
    return "/".join([*names, *([fault.part] if fault.part else [])])


@operation("POST", "/segments", "list.edit", {201: SegmentMade}, body=NewSegment, problems=(409,))
def create(call: Call, body: NewSegment) -> Answer:
    """Makes a segment from a rule."""
    with call.effect() as session, _said(body.rule):
        row = segments.create(session, body.name, body.rule, description=body.description, now=call.now)
        call.audit(session, "segment.create", row.id)
        return call.say(201, SegmentMade(**_made(row)), Location=f"/api/v1/segments/{row.id}")


@operation("GET", "/segments", "list.view", {200: SegmentPage}, query=PageQuery)
def index(call: Call, query: PageQuery) -> Answer:
    """All segments, by id."""
    with call.reading() as session:
        rows, after = segments.page(session, after=query.after, limit=query.limit)
        return call.say(200, SegmentPage(items=[_shown(session, row) for row in rows], next=text_id(after)))


@operation("POST", "/segments/count", "list.edit", {200: Counted}, body=RuleGiven)
def count_rule(call: Call, body: RuleGiven) -> Answer:
    """Counts a rule without keeping it."""
    with call.reading() as session, _said(body.rule):
        call.say(200, Counted(members=_counted(session, segments.checked(session, body.rule), call.now)))
    with call.long_effect():
        return call.answer


@operation("GET", "/segments/{segment_id}", "list.view", {200: SegmentShown}, problems=(404,))
def show(call: Call, segment_id: int) -> Answer:
    """One segment with its rule."""
    with call.reading() as session, _said():
        return call.say(200, _shown(session, segments.get(session, segment_id)))


@operation("PATCH", "/segments/{segment_id}", "list.edit", {200: SegmentShown}, body=SegmentChange, problems=(404, 409))
def change(call: Call, segment_id: int, body: SegmentChange) -> Answer:
    """Changes name, description or rule. Campaigns that have begun keep the rule they began with."""
    given = body.model_dump(exclude_unset=True)
    with call.effect() as session, _said(body.rule):
        row = segments.change(session, segment_id, now=call.now, **given)
        call.audit(session, "segment.change", segment_id, names=sorted(given))
        return call.say(200, _shown(session, row))


@operation("DELETE", "/segments/{segment_id}", "list.edit", {204: None}, problems=(404, 409))
def delete(call: Call, segment_id: int) -> Answer:
    """Takes it out of sight; refused while a campaign that is not over uses it."""
    with call.effect() as session, _said():
        segments.archive(session, segment_id, now=call.now)
        call.audit(session, "segment.delete", segment_id)
        return call.say(204)


@operation("GET", "/segments/{segment_id}/count", "list.view", {200: Counted}, problems=(404,))
def count(call: Call, segment_id: int) -> Answer:
    """How many members fit now."""
    with call.reading() as session, _said():
        rule = rules.read(segments.get(session, segment_id).rule)
        return call.say(200, Counted(members=_counted(session, rule, call.now)))


@operation("GET", "/segments/{segment_id}/sample", "member.view", {200: Sample}, problems=(404,))
def sample(call: Call, segment_id: int) -> Answer:
    """Ten members who fit, the newest first."""
    with call.reading() as session, _said():
        rule = rules.read(segments.get(session, segment_id).rule)
        try:
            found = segments.sample(session, rule, call.now)
        except TookTooLong:
            return call.say(200, Sample(items=[], complete=False))
        return call.say(200, Sample(items=members.shown(call, session, found), complete=True))


def _counted(session: Session, rule: rules.Group, now: datetime) -> int | None:
    try:
        return segments.count(session, rule, now)
    except TookTooLong:
        return None
