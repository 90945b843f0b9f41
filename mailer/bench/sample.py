"""Rows for the benchmarks: members in bulk, and a mail of a given size with ten links."""

from datetime import datetime

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.campaigns import Campaign, Link
from kairan.models.consent import Permission
from kairan.secrets import Secrets
from kairan.sql import is_sqlite
from mailer.campaigns import lifecycle
from mailer.campaigns.revisions import Content

LINKS = 10
SHOP = "https://shop.example/item/"
_PIECE = 5_000


def audience(session: Session, keys: Secrets, count: int, now: datetime) -> int:
    """A list with `count` consented members; the one an earlier run on the same database made, if it is the right size."""
    found = session.execute(select(List).where(List.name == "Bench")).scalar_one_or_none()
    if found is not None:
        size = session.execute(select(func.count()).where(Subscription.list_id == found.id)).scalar_one()
        if size != count:
            raise ValueError(f"this database holds a benchmark of {size} members: give an empty one, or --count {size}")
        return found.id
    purpose = Purpose(name="Bench", created_at=now)
    session.add(purpose)
    session.flush()
    row = List(name="Bench", purpose_id=purpose.id, created_at=now)
    session.add(row)
    session.flush()
    for first in range(1, count + 1, _PIECE):
        _members(session, keys, range(first, min(first + _PIECE, count + 1)), row.id, purpose.id, now)
    if not is_sqlite(session):
        session.execute(text("SELECT setval(pg_get_serial_sequence('members', 'id'), :last)"), {"last": count})
    return row.id


def _members(session: Session, keys: Secrets, ids: range, list_id: int, purpose_id: int, now: datetime) -> None:
    rows = [
        {
            "id": member,
            "email": f"member{member}@dest{member % 50}.example",
            "address_key": keys.address_key(f"member{member}@dest{member % 50}.example"),
            "first_name": f"Anna{member % 100}",
            "last_name": "Müller" if member % 3 else "佐藤",
            "locale": "en" if member % 3 else "ja",
            "attributes": {"plan": "pro", "city": "Berlin"},
            "format": "html",
            "recording": "identified",
            "frequency": "each",
            "awaiting_guardian": False,
            "created_at": now,
            "updated_at": now,
        }
        for member in ids
    ]
    session.execute(insert(Member), rows)
    session.execute(insert(Subscription), [{"member_id": member, "list_id": list_id, "since": now} for member in ids])
    session.execute(insert(Permission), [{"member_id": member, "purpose_id": purpose_id, "given_at": now} for member in ids])


def campaign(session: Session, list_id: int, size: int, now: datetime) -> int:
    content = Content(
        subject="News of the month, {{ member.first_name | default: 'friend' }}",
        preheader="What is new",
        from_name="Bench",
        from_email="news@bench.example",
        content=html(size),
    )
    return lifecycle.create(session, "Bench", lifecycle.Reach(lists=(list_id,)), content, now=now).id


def linked(session: Session, now: datetime) -> tuple[int, list[int]]:
    """A campaign and the numbers of its links, which is all that a tracking endpoint asks about."""
    row = Campaign(name="Bench", created_at=now, updated_at=now)
    session.add(row)
    session.flush()
    session.add_all(
        Link(campaign_id=row.id, number=at, revision=1, kind="text", label=f"Story {at}", url=f"https://shop.example/item/{at}?from=news")
        for at in range(1, LINKS + 1)
    )
    return row.id, list(range(1, LINKS + 1))


def html(size: int) -> str:
    """A mail of about `size` bytes on the wire: three names, ten tracked links."""
    name = "{{ member.first_name | default: 'friend' }}"
    links = "".join(f'<p><a href="{SHOP}{at}">Story {at} of this month</a></p>' for at in range(LINKS))
    filler = "<p>The leaves turn and the evenings grow long; here is what our readers liked best in the last weeks.</p>"
    head = f"<html><head><title>News</title></head><body><h1>Hello {name}</h1><p>Dear {name}, dear {name},</p>{links}"
    # The text part repeats the words, quoted-printable adds a little: about 2.1 bytes on the wire for one of filler.
    return head + filler * max(1, int((size - 6_000) / 2.1 / len(filler))) + "</body></html>"
