"""A sent campaign with its deliveries accepted, a real Valkey, and the public application with the tracking endpoint in front."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select, update
from werkzeug.test import Client

from kairan import clock
from kairan.models.audience import Member
from kairan.models.campaigns import Link
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement, Event, IngestCount, Rollup
from kairan.runtime import Runtime
from mailer.app import create_public_app
from mailer.reports import summary
from tests.support.ground import make_campaign, make_list, make_members, make_organisation, make_settings, running, start_sending
from tracking import ingest
from tracking.endpoint import Endpoint

PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE_RELAY = "Mozilla/5.0"
FROM = {"REMOTE_ADDR": "203.0.113.77"}


@dataclass
class Sent:
    """A campaign that four members received an hour ago (deliveries 1-4)."""

    ground: Runtime
    campaign_id: int
    endpoint: Endpoint
    client: Client
    links: dict[str, int] = field(default_factory=dict)
    """kind → number"""

    @property
    def redis(self) -> "Redis":
        return self.ground.redis

    def token(self, number: int = 1) -> str:
        return self.ground.secrets.tokens.trace(self.campaign_id, number)

    def open(self, number: int = 1, agent: str = PERSON, method: str = "GET") -> Any:
        return self.client.open(f"/o/{self.token(number)}.gif", method=method, headers={"User-Agent": agent}, environ_overrides=FROM)

    def click(self, number: int = 1, link: int | None = None, agent: str = PERSON, method: str = "GET") -> Any:
        return self.client.open(
            f"/c/{self.token(number)}/{link or self.links['text']}", method=method, headers={"User-Agent": agent}, environ_overrides=FROM
        )

    def drain(self) -> int:
        """What is in the buffer goes all the way into the database. Returns how many entries were taken."""
        self.endpoint.buffer.flush()
        total = 0
        while taken := ingest.drain(self.ground.database, self.redis, clock.now()):
            total += taken
        return total

    def report(self) -> dict[str, Any]:
        with self.ground.reading() as session:
            return summary.report(session, self.campaign_id)

    def figures(self) -> tuple[dict[str, int], dict[str, int]]:
        report = self.report()
        return report["opens"], report["clicks"]

    def engagement(self, number: int = 1) -> Engagement | None:
        with self.ground.reading() as session:
            return session.get(Engagement, (self.campaign_id, number))

    def events(self) -> list[Event]:
        with self.ground.reading() as session:
            return list(session.scalars(select(Event).order_by(Event.occurred_at, Event.entry, Event.slot)))

    def hours(self) -> list[Rollup]:
        with self.ground.reading() as session:
            return list(session.scalars(select(Rollup).order_by(Rollup.kind, Rollup.link)))

    def dropped(self) -> dict[str, int]:
        with self.ground.reading() as session:
            return {row.reason: row.count for row in session.scalars(select(IngestCount))}

    def member(self, number: int = 1, **values: Any) -> None:
        """Changes the member of a delivery."""
        with self.ground.writing() as session:
            member_id = session.get_one(Delivery, (self.campaign_id, number)).member_id
            session.execute(update(Member).where(Member.id == member_id).values(**values))


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path) -> Iterator[Runtime]:
    with running(make_settings(database_url, tmp_path, redis=valkey)) as running_ground:
        yield running_ground


@pytest.fixture
def sent(ground: Runtime) -> Iterator[Sent]:
    now = clock.now()
    with ground.writing() as session:
        make_organisation(session)
        topic = make_list(session)
        make_members(session, 4, topic)
        campaign = make_campaign(session, topic)
    start_sending(ground, campaign.id, now)
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED, ended_at=now - timedelta(hours=1), due_at=None))
        links = {kind: number for kind, number in session.execute(select(Link.kind, Link.number).order_by(Link.number.desc()))}
    app = create_public_app(ground)
    endpoint = app.wsgi_app
    assert isinstance(endpoint, Endpoint)
    # Flushed by the test alone: nothing happens between two lines of it.
    endpoint.buffer._flush_s = 3_600
    yield Sent(ground, campaign.id, endpoint, Client(app), links)
    endpoint.buffer.stop()
