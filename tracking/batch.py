"""A batch of fetches on its way through the steps of tracking.ingest, and what the database knows about them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery, State
from kairan.sql import among
from tracking.machines import PERSON, Verdict
from tracking.packing import Fetch

_UNJUDGED = Verdict(False, PERSON, None)


@dataclass(slots=True)
class Seen:
    """One fetch, where it stood in the stream, and what the steps found out."""

    fetch: Fetch
    entry: int
    slot: int
    anonymous: bool = False
    """counted in the hours only, without a delivery"""
    verdict: Verdict = _UNJUDGED

    @property
    def key(self) -> tuple[int, ...]:
        """Who did what."""
        fetch = self.fetch
        return fetch.campaign_id, fetch.number, fetch.kind, fetch.link, self.verdict.machine


class Addressed(NamedTuple):
    """A delivery, and what its member allows now."""

    member_id: int
    recording: str | None
    """None: the member is erased"""
    suspended: bool
    accepted_ms: int | None
    waits: bool
    """handed over, its acceptance not yet recorded"""


@dataclass(slots=True)
class Batch:
    fetches: list[Seen] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    campaigns: dict[int, str] = field(default_factory=dict)
    """those that exist → their recording"""
    deliveries: dict[tuple[int, int], Addressed] = field(default_factory=dict)
    recent: Mapping[tuple[int, ...], int] = field(default_factory=dict)
    now_seen: dict[tuple[int, ...], int] = field(default_factory=dict)
    """key → milliseconds, of this batch"""

    def sift(self, reason: Callable[[Seen], str | None]) -> None:
        kept = []
        for seen in self.fetches:
            why = reason(seen)
            if why is None:
                kept.append(seen)
            else:
                self.dropped[why] += 1
        self.fetches = kept

    def look_up(self, session: Session) -> None:
        """Two queries, and one more for each campaign after the first."""
        numbers: defaultdict[int, set[int]] = defaultdict(set)
        for seen in self.fetches:
            numbers[seen.fetch.campaign_id].add(seen.fetch.number)
        rows = session.execute(select(Campaign.id, Campaign.recording).where(among(session, Campaign.id, sorted(numbers))))
        self.campaigns = {campaign_id: recording for campaign_id, recording in rows}
        for campaign_id in self.campaigns:
            self._look_up_deliveries(session, campaign_id, numbers[campaign_id] - {0})

    def _look_up_deliveries(self, session: Session, campaign_id: int, numbers: set[int]) -> None:
        if not numbers:
            return
        query = (
            select(
                Delivery.number,
                Delivery.member_id,
                Delivery.state,
                Delivery.ended_at,
                Member.recording,
                Member.suspended_at,
            )
            .outerjoin(Member, Member.id == Delivery.member_id)
            .where(Delivery.campaign_id == campaign_id, among(session, Delivery.number, sorted(numbers)))
        )
        for number, member_id, state, ended_at, recording, suspended_at in session.execute(query):
            accepted_ms = int(ended_at.timestamp() * 1_000) if ended_at is not None and state == State.ACCEPTED else None
            self.deliveries[campaign_id, number] = Addressed(
                member_id, recording, suspended_at is not None, accepted_ms, state == State.SENDING
            )
