"""Segments: made, changed, counted, archived; and what they do to the campaigns that name them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, case, delete, func, literal, not_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kairan import installation
from kairan.i18n import gettext as _
from kairan.models.audience import Attribute, List, Member, Purpose
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.segments import CampaignSegment, Segment
from kairan.sql import is_sqlite, with_room, within
from mailer.audience import rule_sql, rules
from mailer.audience.rule_days import At
from mailer.audience.rule_texts import fold
from mailer.audience.rules import Fault, Group, RuleRefused

PAGE_MAX = 1_000
SAMPLE = 10
AT_ONCE_S = 1.0
"""how long a page waits for a count before it shows itself without one"""
PATIENT_S = 30.0
"""how long a count may take that somebody waits for"""
OPEN = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED)


class UnknownSegment(ValueError):
    """There is no such segment, or it is archived."""


class NameTaken(ValueError):
    """There is a segment of this name already."""


class InUse(Exception):
    """Campaigns that are not over name the segment: `names`, at most five."""

    def __init__(self, names: list[str]) -> None:
        super().__init__("segment in use")
        self.names = names


# ---- made, changed, archived


def create(session: Session, name: str, rule: object, *, now: datetime, description: str = "") -> Segment:
    """Raises RuleRefused, NameTaken."""
    document = rules.document(checked(session, rule))
    row = Segment(name=name.strip(), description=description.strip(), rule=document, created_at=now, updated_at=now)
    with _one_name(session, row.name):
        session.add(row)
    return row


def change(
    session: Session, segment_id: int, *, now: datetime, name: str | None = None, description: str | None = None, rule: object = None
) -> Segment:
    """What is None stays. A campaign that has begun keeps the rule it began with. Raises UnknownSegment, RuleRefused, NameTaken."""
    row = get(session, segment_id)
    document = row.rule if rule is None else rules.document(checked(session, rule))
    with _one_name(session, name or row.name):
        row.name = row.name if name is None else name.strip()
        row.description = row.description if description is None else description.strip()
        row.rule, row.updated_at = document, now
    return row


def archive(session: Session, segment_id: int, *, now: datetime) -> None:
    """Takes it out of sight; campaigns that went out keep naming it. Raises UnknownSegment, InUse."""
    row = get(session, segment_id)
    names = [campaign.name for campaign in uses(session, segment_id) if campaign.status in OPEN]
    if names:
        raise InUse(names[:5])
    row.archived_at = now
    session.flush()


@contextmanager
def _one_name(session: Session, name: str) -> Iterator[None]:
    """What is done inside is undone alone if the name is taken; the caller's transaction goes on."""
    try:
        with session.begin_nested():
            yield
            session.flush()
    except IntegrityError as error:
        raise NameTaken(name) from error


def checked(session: Session, document: object) -> Group:
    """A rule whose lists, attributes, purposes and campaigns there are. Raises RuleRefused."""
    rule = rules.read(document)
    faults = [Fault(path, _part(thing), _gone(thing)) for path, thing in missing(session, rule)]
    if faults:
        raise RuleRefused(faults)
    return rule


def _part(thing: str) -> str:
    return "field" if thing == "attribute" else "value"


def _gone(thing: str) -> str:
    return _("This names %(what)s. Choose another.", what=rules.GONE[thing])


def missing(session: Session, rule: Group) -> list[tuple[rules.Path, str]]:
    """(place, key of rules.GONE) of whatever the rule names and there is not; an archived list counts as gone."""
    named = list(rules.named(rule))
    known: dict[str, set[Any]] = {
        "list": _known(session, named, "list", List.id, List.archived_at.is_(None)),
        "consent": _known(session, named, "consent", Purpose.name),
        "received": _known(session, named, "received", Campaign.id),
        "attribute": _known(session, named, "attribute", Attribute.name),
    }
    return [(path, thing) for path, thing, name in named if name not in known[thing]]


def _known(session: Session, named: Sequence[tuple[Any, str, Any]], thing: str, column: Any, *where: ColumnElement[bool]) -> set[Any]:
    wanted = {name for _path, each, name in named if each == thing}
    return set(session.scalars(select(column).where(column.in_(wanted), *where))) if wanted else set()


# ---- read


def get(session: Session, segment_id: int) -> Segment:
    """Raises UnknownSegment."""
    found = session.get(Segment, segment_id)
    if found is None or found.archived_at is not None:
        raise UnknownSegment(segment_id)
    return found


def page(session: Session, *, after: int = 0, limit: int = 100) -> tuple[list[Segment], int | None]:
    """(segments by id, the id to go on after or None)."""
    limit = min(limit, PAGE_MAX)
    query = select(Segment).where(Segment.id > after, Segment.archived_at.is_(None)).order_by(Segment.id).limit(limit + 1)
    rows = list(session.scalars(query))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def choices(session: Session) -> list[Segment]:
    """By name, for a page where one is chosen."""
    return list(session.scalars(select(Segment).where(Segment.archived_at.is_(None)).order_by(Segment.name).limit(PAGE_MAX)))


def uses(session: Session, segment_id: int, limit: int = 50) -> list[Campaign]:
    """Campaigns that it narrows or that leave its members out: those that are not over first, then the newest."""
    is_over = case((Campaign.status.in_(OPEN), 0), else_=1)
    return list(
        session.scalars(
            select(Campaign)
            .where(Campaign.id.in_(select(CampaignSegment.campaign_id).where(CampaignSegment.segment_id == segment_id)))
            .order_by(is_over, Campaign.id.desc())
            .limit(limit)
        )
    )


def asked_at(session: Session, now: datetime) -> At:
    """The days of a rule are those of the installation's zone."""
    return At(now, ZoneInfo(installation.get(session, "time_zone")))


def count(session: Session, rule: Group, now: datetime, *, limit_s: float = PATIENT_S) -> int:
    """How many members fit now, whether or not they may be mailed. Raises TookTooLong."""
    with_room(session)
    with within(session, limit_s):
        return session.scalar(select(func.count()).select_from(Member).where(_condition(session, rule, now))) or 0


def sample(session: Session, rule: Group, now: datetime, *, limit: int = SAMPLE, limit_s: float = PATIENT_S) -> list[Member]:
    """The newest members who fit. Raises TookTooLong."""
    query = select(Member).where(_condition(session, rule, now)).order_by(Member.id.desc()).limit(limit)
    with within(session, limit_s):
        return list(session.scalars(query))


def _condition(session: Session, rule: Group, now: datetime) -> ColumnElement[bool]:
    return rule_sql.condition(rule, asked_at(session, now), sqlite=is_sqlite(session))


# ---- in a campaign


def choose(session: Session, campaign_id: int, segment_id: int | None, excluded: Sequence[int]) -> None:
    """Replaces the segments of a campaign that has not begun. Raises UnknownSegment."""
    wanted = [*([(segment_id, False)] if segment_id is not None else []), *((each, True) for each in dict.fromkeys(excluded))]
    for each, _is_out in wanted:
        get(session, each)
    session.execute(delete(CampaignSegment).where(CampaignSegment.campaign_id == campaign_id))
    session.add_all(CampaignSegment(campaign_id=campaign_id, segment_id=each, excluded=is_out) for each, is_out in wanted)
    session.flush()


def chosen(session: Session, campaign_id: int) -> tuple[int | None, tuple[int, ...]]:
    """(the segment that narrows it, those that keep their members out)."""
    rows = session.execute(
        select(CampaignSegment.segment_id, CampaignSegment.excluded)
        .where(CampaignSegment.campaign_id == campaign_id)
        .order_by(CampaignSegment.segment_id)
    ).all()
    narrowing = [segment_id for segment_id, excluded in rows if not excluded]
    return narrowing[0] if narrowing else None, tuple(segment_id for segment_id, excluded in rows if excluded)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """A segment of a campaign, with the rule that holds for it: frozen when the campaign began, before that the segment's own."""

    name: str
    excluded: bool
    rule: Group
    is_frozen: bool


def of_campaign(session: Session, campaign_id: int) -> list[Narrowing]:
    rows = session.execute(
        select(Segment.name, CampaignSegment.excluded, CampaignSegment.rule, Segment.rule)
        .join(Segment, Segment.id == CampaignSegment.segment_id)
        .where(CampaignSegment.campaign_id == campaign_id)
        .order_by(CampaignSegment.segment_id)
    )
    return [Narrowing(name, excluded, rules.read(frozen or own), frozen is not None) for name, excluded, frozen, own in rows]


def reason_against(session: Session, campaign_id: int, now: datetime, *, walked: bool) -> ColumnElement[str] | None:
    """SQL: which segment keeps a member from the campaign, NULL if none does; None: the campaign has no segments.

    Once the campaign has begun its rules are asked on the moment of that: "within 7 days" is the same for the first piece and the last.
    """
    narrowed = of_campaign(session, campaign_id)
    if not narrowed:
        return None
    at = asked_at(session, session.get_one(Campaign, campaign_id).started_at or now)
    whens = []
    for each in narrowed:
        fits = rule_sql.condition(each.rule, at, sqlite=is_sqlite(session), walked=walked)
        whens.append((fits, "excluded_segment") if each.excluded else (not_(fits), "segment"))
    return case(*whens, else_=literal(None))


def broken(session: Session, campaign_id: int) -> list[str]:
    """Names of the segments whose rule names something that is not there any more, of a campaign that has not begun."""
    return [each.name for each in of_campaign(session, campaign_id) if not each.is_frozen and missing(session, each.rule)]


def freeze(session: Session, campaign_id: int) -> None:
    """The campaign begins: its segments hold as they are now, whatever becomes of them."""
    rows = session.scalars(select(CampaignSegment).where(CampaignSegment.campaign_id == campaign_id, CampaignSegment.rule.is_(None)))
    for row in rows.all():
        row.rule = session.get_one(Segment, row.segment_id).rule
    session.flush()


# ---- erasure


def forget(session: Session, addresses: set[str]) -> None:
    """Takes an erased member's address out of every rule, also of campaigns that are over."""
    folded = {fold(address) for address in addresses}
    rows: list[Segment | CampaignSegment] = [*session.scalars(select(Segment))]
    rows += session.scalars(select(CampaignSegment).where(CampaignSegment.rule.is_not(None)))
    for row in rows:
        cleaned = _without(row.rule, folded)
        if cleaned != row.rule:
            row.rule = cleaned
    session.flush()


def _without(found: Any, addresses: set[str]) -> Any:
    if isinstance(found, dict):
        return {name: _without(each, addresses) for name, each in found.items()}
    if isinstance(found, list):
        return [_without(each, addresses) for each in found]
    return "-" if isinstance(found, str) and any(address in fold(found) for address in addresses) else found
