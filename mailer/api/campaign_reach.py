"""Whom a campaign is for and how it records, as the API says it: lists, segments, exclusions, purpose, parameters of links."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, Protocol

from pydantic import Field
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from mailer.api.calls import Call
from mailer.api.problems import wrong
from mailer.api.shapes import Given, Ids, Line, Shown
from mailer.audience.segments import UnknownSegment
from mailer.campaigns import lifecycle
from mailer.campaigns.lifecycle import Reach
from unsubscribe import consent

Recording = Literal["identified", "aggregate", "none"]


class Exclude(Given):
    lists: Ids = Field(default_factory=list)
    segments: Ids = Field(default_factory=list)


UtmValue = Annotated[Line | None, Field(max_length=100)]


class Utm(Given):
    """Added to each link's query at the click as `utm_source` and so on, unless the link has one of its own."""

    source: UtmValue = None
    medium: UtmValue = None
    campaign: UtmValue = None

    def wanted(self) -> dict[str, str] | None:
        return self.model_dump(exclude_none=True) or None


class ExcludeShown(Shown):
    lists: list[str]
    segments: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, reach: Reach) -> "ExcludeShown":
        return cls(lists=[str(number) for number in reach.excluded], segments=[str(number) for number in reach.excluded_segments])


class Asked(Protocol):
    """A body that says whom a campaign is for."""

    name: Line
    lists: Ids
    segment: int | None
    exclude: Exclude
    purpose: Line | None
    recording: Recording
    record_opens: bool
    record_clicks: bool
    utm: Utm


def of_new(session: Session, call: Call, body: Asked) -> Reach:
    return Reach(
        tuple(body.lists),
        tuple(body.exclude.lists),
        _purpose_id(session, call, body.purpose),
        body.recording,
        record_clicks=body.record_clicks,
        record_opens=body.record_opens,
        utm=body.utm.wanted(),
        segment=body.segment,
        excluded_segments=tuple(body.exclude.segments),
    )


def change(session: Session, call: Call, campaign: Campaign, body: Asked, given: set[str]) -> None:
    """Name and recipients: what is not among `given` stays. Raises UnknownList, UnknownSegment, NotEditable."""
    if "name" in given:
        campaign.name, campaign.updated_at = body.name, call.now
    held = lifecycle.reach_of(session, campaign)
    wanted = Reach(
        tuple(body.lists) if "lists" in given else held.lists,
        tuple(body.exclude.lists) if "exclude" in given else held.excluded,
        _purpose_id(session, call, body.purpose) if "purpose" in given else held.purpose_id,
        body.recording if "recording" in given else held.recording,
        body.record_clicks if "record_clicks" in given else held.record_clicks,
        body.record_opens if "record_opens" in given else held.record_opens,
        body.utm.wanted() if "utm" in given else held.utm,
        segment=body.segment if "segment" in given else held.segment,
        excluded_segments=tuple(body.exclude.segments) if "exclude" in given else held.excluded_segments,
    )
    if wanted != held:
        lifecycle.set_reach(session, campaign, wanted, now=call.now)
    session.flush()


def _purpose_id(session: Session, call: Call, words: str | None) -> int | None:
    return consent.purpose(session, words, now=call.now) if words else None


@contextmanager
def known(body: Asked) -> Iterator[None]:
    """Raises Problem where a list or segment is named that there is not."""
    try:
        yield
    except lifecycle.UnknownList:
        raise wrong("lists", _("There is no such list.")) from None
    except UnknownSegment as unknown:
        name = "segment" if unknown.args == (body.segment,) else "exclude/segments"
        raise wrong(name, _("There is no such segment.")) from None
