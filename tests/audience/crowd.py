"""A thousand members of every kind, with what they did, in the database and as plain Python at once."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.campaigns import Campaign, Link
from kairan.models.consent import Permission
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement, Event, EventKind, LinkEngagement
from kairan.models.suppression import Suppression
from tests.support.ground import NOW
from tracking.partitions import make_ahead

WORDS = [
    "Hanako",
    "hanako",
    "HANAKO",
    "花子",
    "Élodie",
    "élodie",
    "Straße",
    "İstanbul",
    "ΣΊΣΥΦΟΣ",
    "a%b",
    "a_b",
    "o'Brien",
    "back\\slash",
    "",
]
WORDS += ["o'Brien", "back\\slash", "", "Ann", "ann ", "𠮷野", "ﾊﾅｺ", 'say "hi"', "[a-z]*", "?"]
DOMAINS = ["example.com", "Example.COM", "gmail.com", "GMAIL.com", "docomo.ne.jp", "mail.docomo.ne.jp", "notgmail.com", "xn--eckwd4c7c.jp"]
DATES = [
    "2026-11-24",
    "1980-02-29",
    "1980-02-28",
    "1980-03-01",
    "1999-12-31",
    "2000-01-01",
    "1970-11-30",
    "2026-11-23",
    "2026-12-24",
    "2027-01-03",
]
DATES += ["2026-13-01", "2026-11-32", "2026-19-39", "2026-1-1", "2026-11-24T09:00", " 2026-11-24", "２０２６-11-24", "2026-11-24\n"]
NUMBERS: list[Any] = [0, 1, -1, 20, 20.0, 20.5, 0.1, 0.30000000000000004, 1e-9, 10**15, -(10**15), 10**30, 2**63, 1.5e300, -7]
NUMBERS += [
    "20",
    "20.0",
    "-1",
    "1e3",
    "20.",
    ".5",
    "-",
    "--1",
    "1-1",
    "1.2.3",
    "+20",
    " 20",
    "020",
    "123456789012345",
    "1234567890123456",
    "0.1",
]
TRUTHS: list[Any] = [True, False, "true", "Yes", "NO", "1", "0", 1, 0, "はい"]
URLS = ["https://shop.example/autumn", "https://shop.example/Autumn?x=%25", "https://Shop.example/秋", "https://other.example/"]
ZONES = [None, "", "Asia/Tokyo", "Europe/Berlin"]
RECORDING = ["identified", "identified", "identified", "aggregate", "none"]


@dataclass
class Mail:
    """One delivery, as the oracle sees it."""

    campaign: int
    accepted: bool
    at: datetime | None
    opens: int = 0
    clicks: int = 0
    urls: set[str] = field(default_factory=set)


@dataclass
class Person:
    id: int
    row: dict[str, Any]
    lists: set[int] = field(default_factory=set)
    purposes: set[str] = field(default_factory=set)
    is_suppressed: bool = False
    mails: list[Mail] = field(default_factory=list)
    opened_at: list[datetime] = field(default_factory=list)
    clicked_at: list[datetime] = field(default_factory=list)


@dataclass
class Crowd:
    people: list[Person]
    campaigns: dict[int, tuple[str, bool, bool]]
    """id → recording, opens and clicks recorded"""


def fill(session: Session, count: int, seed: int = 7) -> Crowd:
    dice = random.Random(seed)
    make_ahead(session, NOW)
    purposes = ["News", "Offers"]
    session.execute(insert(Purpose), [{"id": at, "name": name, "created_at": NOW} for at, name in enumerate(purposes, 1)])
    session.execute(
        insert(List),
        [
            {
                "id": at,
                "name": f"L{at}",
                "purpose_id": at % 2 + 1,
                "public": False,
                "created_at": NOW,
                "description": "",
            }
            for at in (1, 2, 3)
        ],
    )
    campaigns = {at: (dice.choice(RECORDING), dice.random() < 0.8, dice.random() < 0.8) for at in range(1, 9)}
    for at, (recording, opens, clicks) in campaigns.items():
        session.add(
            Campaign(id=at, name=f"C{at}", recording=recording, record_opens=opens, record_clicks=clicks, created_at=NOW, updated_at=NOW)
        )
    session.flush()
    session.add_all(
        Link(
            campaign_id=at,
            number=n,
            revision=1,
            kind="text",
            label="x",
            url=url,
        )
        for at in campaigns
        for n, url in enumerate(URLS, 1)
    )
    people = [_person(dice, at) for at in range(1, count + 1)]
    session.execute(insert(Member), [{"id": person.id, **person.row} for person in people])
    _memberships(session, dice, people, purposes)
    _mails(session, dice, people, list(campaigns))
    return Crowd(people, campaigns)


def _attributes(dice: random.Random) -> dict[str, Any]:
    pools = {"plan": WORDS, "birthday": DATES, "points": NUMBERS, "vip": TRUTHS}
    every = [*WORDS, *DATES, *NUMBERS, *TRUTHS, None]
    return {name: dice.choice(pool if dice.random() < 0.8 else every) for name, pool in pools.items() if dice.random() < 0.85}


def _person(dice: random.Random, at: int) -> Person:
    row = {
        "email": f"{dice.choice(['m', 'M', 'x_y'])}{at}@{dice.choice(DOMAINS)}",
        "address_key": at.to_bytes(16, "big"),
        "first_name": dice.choice(WORDS),
        "last_name": dice.choice(WORDS),
        "locale": dice.choice(["", "ja", "en", "en-GB"]),
        "time_zone": dice.choice(ZONES),
        "attributes": _attributes(dice),
        "format": dice.choice(["html", "html", "text"]),
        "recording": dice.choice(RECORDING),
        "frequency": "each",
        "suspended_at": NOW if dice.random() < 0.05 else None,
        "awaiting_guardian": dice.random() < 0.05,
        "created_at": NOW - timedelta(hours=dice.randrange(-20, 24 * 40)),
        "updated_at": NOW,
    }
    return Person(at, row)


def _memberships(session: Session, dice: random.Random, people: list[Person], purposes: list[str]) -> None:
    subscriptions, permissions, suppressions = [], [], []
    for person in people:
        for list_id in (1, 2, 3):
            if dice.random() < 0.5:
                ended = dice.random() < 0.2
                subscriptions.append({"member_id": person.id, "list_id": list_id, "since": NOW, "ended_at": NOW if ended else None})
                person.lists |= set() if ended else {list_id}
        for number, name in enumerate(purposes, 1):
            if dice.random() < 0.6:
                withdrawn = dice.random() < 0.2
                permissions.append(
                    {
                        "member_id": person.id,
                        "purpose_id": number,
                        "given_at": NOW,
                        "withdrawn_at": NOW if withdrawn else None,
                    }
                )
                person.purposes |= set() if withdrawn else {name}
        if dice.random() < 0.1:
            person.is_suppressed = True
            suppressions.append({"address_key": person.row["address_key"], "reason": "bounced", "note": "", "created_at": NOW})
    session.execute(insert(Subscription), subscriptions)
    session.execute(insert(Permission), permissions)
    session.execute(insert(Suppression), suppressions)


def _mails(session: Session, dice: random.Random, people: list[Person], campaigns: list[int]) -> None:
    deliveries, engagement, clicks = [], [], []
    events: list[dict[str, Any]] = []
    for person in people:
        for campaign in campaigns:
            if dice.random() < 0.4:
                continue
            state = dice.choice([State.ACCEPTED, State.ACCEPTED, State.ACCEPTED, State.REJECTED, State.QUEUED])
            ended = NOW - timedelta(days=dice.randrange(1, 90)) if state == State.ACCEPTED and dice.random() < 0.9 else None
            mail = Mail(campaign, state == State.ACCEPTED, ended)
            person.mails.append(mail)
            key = {"campaign_id": campaign, "number": person.id}
            deliveries.append(
                {
                    **key,
                    "member_id": person.id,
                    "address_key": person.row["address_key"],
                    "state": state,
                    "ended_at": ended,
                    "fence": 0,
                    "tries": 0,
                }
            )
            if state != State.ACCEPTED or dice.random() < 0.5:
                continue
            mail.opens, mail.clicks = dice.choice([0, 0, 1, 3]), dice.choice([0, 0, 2])
            engagement.append(
                {
                    **key,
                    "member_id": person.id,
                    "opens": mail.opens,
                    "clicks": mail.clicks,
                    "machine_opens": 1,
                    "machine_clicks": 1,
                    "last_at": NOW,
                }
            )
            for link, url in enumerate(URLS, 1):
                by_person = dice.randrange(2) if mail.clicks else 0
                clicks.append({**key, "link": link, "clicks": by_person, "machine_clicks": 1, "first_at": NOW})
                mail.urls |= {url} if by_person else set()
            for kind, times in ((EventKind.OPEN, person.opened_at), (EventKind.CLICK, person.clicked_at)):
                at, machine = NOW - timedelta(hours=dice.randrange(24 * 20)), dice.random() < 0.3
                events.append(
                    {
                        "occurred_at": at,
                        "entry": len(events),
                        "slot": 0,
                        **key,
                        "member_id": person.id,
                        "kind": kind,
                        "link": 0,
                        "machine": machine,
                        "rule": "x/1",
                    }
                )
                if not machine:
                    times.append(at)
    session.execute(insert(Delivery), deliveries)
    session.execute(insert(Engagement), engagement)
    session.execute(insert(LinkEngagement), clicks)
    session.execute(insert(Event), events)
