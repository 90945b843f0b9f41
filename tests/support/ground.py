"""A whole runtime for a test, and rows to fill it with: one small factory a family."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from kairan import database, installation, runtime, secrets, settings
from kairan.addresses import normal
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.campaigns import Campaign
from kairan.models.consent import Permission
from kairan.models.deliveries import Delivery, State
from mailer.campaigns import lifecycle
from mailer.campaigns.revisions import Content
from mailer.delivery import snapshot

SECRET = "for tests only, never for mail: 0123456789"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

HTML = """<html><head><title>News</title></head><body><h1>Hello {{ member.first_name | default: "friend" }}</h1>
<p><a href="https://shop.example/autumn">Read the story</a></p>
<p><a href="https://shop.example/picture"><img src="https://shop.example/hero.png" alt="Autumn leaves" width="600"></a></p>
</body></html>"""


def make_settings(url: str, folder: Path, *, redis: str = "", smtp: str = "") -> settings.Settings:
    return replace(
        settings.load({"KAIRAN_DATA_DIR": str(folder)}, folder),
        database_url=url,
        redis_url=redis,
        smtp_url=smtp,
        secret_key=SECRET,
    )


@contextmanager
def running(given: settings.Settings) -> Iterator[runtime.Runtime]:
    """The process's own runtime, as a job or request finds it."""
    keys = secrets.load(given)
    ground = runtime.Runtime(given, keys, database.Database(given.database_url))
    with ground.writing() as session:
        database.check_secret(session, keys.fingerprint)
    runtime.use(ground)
    try:
        yield ground
    finally:
        runtime.use(None)
        ground.close()


def make_organisation(session: Session, now: datetime = NOW) -> None:
    installation.put(
        session, "organisation", {"name": "Kairan Books", "address": "1-2-3 Kanda, Tokyo", "contact": "help@books.example"}, now=now
    )


def make_list(session: Session, name: str = "News", purpose: str = "Our newsletter", now: datetime = NOW) -> List:
    found = session.execute(select(Purpose).where(Purpose.name == purpose)).scalar_one_or_none()
    if found is None:
        found = Purpose(name=purpose, created_at=now)
        session.add(found)
        session.flush()
    row = List(name=name, purpose_id=found.id, created_at=now)
    session.add(row)
    session.flush()
    return row


def make_members(
    session: Session,
    count: int,
    into: List,
    *,
    first: int = 1,
    consented: bool = True,
    now: datetime = NOW,
    domain: str = "members.example",
) -> None:
    """Members `m1@…`, `m2@…` in a list, in bulk; their address keys are those of SECRET."""
    keys = secrets.from_root(SECRET)
    base = session.execute(select(func.coalesce(func.max(Member.id), 0))).scalar_one()
    emails = [f"m{number}@{domain}" for number in range(first, first + count)]
    session.execute(
        insert(Member),
        [
            {
                "id": base + at,
                "email": email,
                "address_key": keys.address_key(normal(email)),
                "first_name": f"Name{at}",
                "last_name": "山田",
                "locale": "ja" if at % 2 else "en",
                "attributes": {},
                "format": "html",
                "recording": "identified",
                "frequency": "each",
                "awaiting_guardian": False,
                "created_at": now,
                "updated_at": now,
            }
            for at, email in enumerate(emails, start=1)
        ],
    )
    ids = range(base + 1, base + count + 1)
    session.execute(insert(Subscription), [{"member_id": member, "list_id": into.id, "since": now} for member in ids])
    if consented:
        session.execute(insert(Permission), [{"member_id": member, "purpose_id": into.purpose_id, "given_at": now} for member in ids])
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.setval("members_id_seq", base + count)))


def make_campaign(session: Session, into: List, *, now: datetime = NOW, html: str = HTML, **reach: object) -> Campaign:
    """A draft that could be sent as it is."""
    content = Content(
        subject="Autumn news", preheader="What is new", from_name="Kairan Books", from_email="news@books.example", content=html
    )
    return lifecycle.create(session, "Autumn", lifecycle.Reach(lists=(into.id,), **reach), content, now=now)  # type: ignore[arg-type]


def start_sending(ground: runtime.Runtime, campaign_id: int, now: datetime = NOW) -> None:
    """draft → sending with all deliveries written, as mailer.campaigns.jobs does it, without ringing."""
    from mailer.campaigns import compilation

    with ground.writing() as session:
        lifecycle.schedule(session, campaign_id, now, now=now)
        lifecycle.start(session, campaign_id, now=now)
        compilation.compile_campaign(session, session.get_one(Campaign, campaign_id), ground.settings.base_url)
    more = True
    while more:
        with ground.writing() as session:
            more = snapshot.take_piece(session, campaign_id, now)
    with ground.writing() as session:
        snapshot.settle(session, campaign_id, now)


def states(session: Session, campaign_id: int) -> dict[str, int]:
    """State name → how many deliveries; states nobody is in are left out."""
    rows = session.execute(select(Delivery.state, func.count()).where(Delivery.campaign_id == campaign_id).group_by(Delivery.state))
    return {State(state).name.lower(): count for state, count in rows}
