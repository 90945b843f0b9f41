"""A runtime with a list and members, and a lane to gate with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kairan import clock
from kairan.models.deliveries import Lane as LaneRow
from kairan.runtime import Runtime
from mailer.delivery import journal
from tests.support import fault_smtp
from tests.support import ground as make


@pytest.fixture
def server() -> Iterator[fault_smtp.FaultSmtp]:
    with fault_smtp.running() as running:
        yield running


@pytest.fixture
def ground(database_url: str, valkey: str, tmp_path: Path, server: fault_smtp.FaultSmtp) -> Iterator[Runtime]:
    given = make.make_settings(database_url, tmp_path, redis=valkey, smtp=server.url)
    with make.running(given) as running:
        with running.writing() as session:
            make.make_organisation(session)
        yield running


@pytest.fixture
def new_campaign(ground: Runtime) -> Callable[..., int]:
    """A campaign that is being sent to members with these local parts (or to m1…mN): its id."""

    def make_one(*words: str, count: int = 0, **reach: object) -> int:
        now = clock.now()
        with ground.writing() as session:
            into = make.make_list(session, name=f"List {now.timestamp()}", now=now)
            if count:
                make.make_members(session, count, into, now=now)
            for at, word in enumerate(words, start=1):
                make.make_members(session, 1, into, now=now, first=at, domain=f"{word}.example")
                _rename(session, word, at)
            campaign_id = make.make_campaign(session, into, now=now, **reach).id
        make.start_sending(ground, campaign_id, now)
        return campaign_id

    return make_one


def _rename(session: object, word: str, at: int) -> None:
    from sqlalchemy import update

    from kairan import secrets
    from kairan.addresses import normal
    from kairan.models.audience import Member

    email = f"{word}.{at}@t.example"
    key = secrets.from_root(make.SECRET).address_key(normal(email))
    session.execute(  # type: ignore[attr-defined]
        update(Member).where(Member.email == f"m{at}@{word}.example").values(email=email, address_key=key)
    )


@pytest.fixture
def new_lane(ground: Runtime) -> Callable[[int], int]:
    def make_one(campaign_id: int) -> int:
        folder = journal.Folder(ground.settings.journal_dir)
        with ground.writing() as session:
            at = clock.now()
            row = LaneRow(campaign_id=campaign_id, place=folder.place, boot=journal.boot_id(), heartbeat_at=at, started_at=at)
            session.add(row)
            session.flush()
            return row.id

    return make_one
