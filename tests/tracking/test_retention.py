"""After thirteen months single records are gone and the totals stay, as the page for members says."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text, update

from kairan import clock
from kairan.models.events import Engagement, Event, Facet, LinkEngagement, Rollup
from kairan.models.webhooks import MemberVisit, Site
from kairan.sql import is_sqlite
from mailer.web.member_pages import RETENTION_MONTHS
from tests.tracking.conftest import Sent
from tracking import retention


def counts(sent: Sent) -> list[int]:
    with sent.ground.reading() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in (Event, Engagement, LinkEngagement, MemberVisit)]


def test_what_is_older_goes_and_totals_stay(sent: Sent) -> None:
    now = clock.now()
    for number in (1, 2):
        sent.open(number)
        sent.click(number)
    sent.drain()
    figures = sent.figures()
    with sent.ground.writing() as session:
        session.add(Site(name="x", host="x.example", code="x", created_at=now))
        session.flush()
        session.add(MemberVisit(member_id=1, campaign_id=sent.campaign_id, site_id=1, path="/", at=now))
    assert counts(sent) == [4, 2, 2, 1]

    assert retention.expire(sent.ground.database, now) == 0
    assert retention.expire(sent.ground.database, now + timedelta(days=31 * (retention.MONTHS + 2))) > 0
    assert counts(sent) == [0, 0, 0, 0]
    assert sent.figures() == figures
    with sent.ground.reading() as session:
        assert session.scalar(select(func.count()).select_from(Rollup)) and session.scalar(select(func.count()).select_from(Facet))


def test_only_the_old_one_of_two_goes(sent: Sent) -> None:
    sent.open(1)
    sent.drain()
    sent.open(2)
    sent.drain()
    old = retention.before(clock.now()) - timedelta(days=1)
    with sent.ground.writing() as session:
        session.execute(update(Event).where(Event.number == 1).values(occurred_at=old))
        session.execute(update(Engagement).where(Engagement.number == 1).values(last_at=old))
    retention.expire(sent.ground.database, clock.now())
    assert counts(sent)[:2] == [1, 1]


def test_a_month_on_postgresql_is_dropped_whole(sent: Sent) -> None:
    with sent.ground.writing() as session:
        if is_sqlite(session):
            return
        session.execute(text("CREATE TABLE events_2020_01 (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
        session.execute(text("ALTER TABLE events ATTACH PARTITION events_2020_01 FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"))
    assert retention.expire(sent.ground.database, clock.now()) == 1
    with sent.ground.reading() as session:
        assert session.execute(text("SELECT to_regclass('events_2020_01')")).scalar_one() is None


def test_the_page_for_members_says_what_is_done() -> None:
    assert RETENTION_MONTHS == retention.MONTHS
    assert retention.before(datetime(2026, 11, 25, tzinfo=UTC)) == datetime(2025, 10, 1, tzinfo=UTC)
