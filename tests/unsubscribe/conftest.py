"""A running installation with three members in one list, and a client that knows nothing but a mail's links."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Lane
from kairan.models.every import metadata
from kairan.runtime import Runtime
from mailer.app import create_public_app
from mailer.delivery.gate import Candidate, gate
from tests.support.ground import NOW, make_campaign, make_list, make_members, make_organisation, make_settings, running, start_sending


@dataclass(frozen=True)
class Going:
    """A campaign that is going out to members 1, 2 and 3 (m1 is Japanese, m2 English), none of them gated yet."""

    ground: Runtime
    campaign_id: int
    list_id: int
    lane_id: int

    def token(self, member_id: int = 1) -> str:
        return self.ground.secrets.tokens.act(member_id, self.campaign_id)

    def gated(self, member_id: int = 1, *, keep: bool = False) -> list[int]:
        """The members that the next gate lets through, of this one; undone unless `keep`."""
        with self.ground.writing() as session:
            revision = session.get_one(Campaign, self.campaign_id).revision
            passed = gate(
                session,
                lane_id=self.lane_id,
                campaign_id=self.campaign_id,
                revision=revision,
                candidates=[Candidate(number=member_id, member_id=member_id)],
                started=0.0,
                now=NOW,
            )
            if not keep:
                session.rollback()
        return [row.member_id for row in passed]

    def counts(self) -> dict[str, int]:
        with self.ground.reading() as session:
            return {name: session.execute(select(func.count()).select_from(table)).scalar_one() for name, table in metadata.tables.items()}


@pytest.fixture
def ground(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with running(make_settings(database_url, tmp_path)) as running_ground:
        yield running_ground


@pytest.fixture
def going(ground: Runtime) -> Going:
    with ground.writing() as session:
        make_organisation(session)
        topic = make_list(session)
        make_members(session, 3, topic)
        campaign = make_campaign(session, topic)
    start_sending(ground, campaign.id)
    with ground.writing() as session:
        lane = Lane(campaign_id=campaign.id, place="here", boot="boot", heartbeat_at=NOW, started_at=NOW)
        session.add(lane)
        session.flush()
    return Going(ground, campaign.id, topic.id, lane.id)


@pytest.fixture
def client(going: Going) -> FlaskClient:
    return create_public_app(going.ground).test_client()
