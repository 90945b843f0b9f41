"""The demo's samples: a bookshop with some 200 members in two languages, a letter that went out two days ago, and the next one.

Nothing here goes round the product: members come in through the import, the letter through pre-flight, gate and SMTP, its history through
the event stream. Only then the clock of what was sent is put back by two days.
"""

import csv
import io
import math
import random
from datetime import datetime, timedelta

from PIL import Image, ImageDraw
from sqlalchemy import select, update

from kairan import clock, installation, resources
from kairan.models.audience import Member, Subscription
from kairan.models.campaigns import Campaign, Link
from kairan.models.consent import ConsentSource
from kairan.models.deliveries import Delivery, State
from kairan.models.events import EventKind
from kairan.runtime import Runtime
from mailer.audience import csv_import, lists
from mailer.audience.jobs import run_import
from mailer.campaigns import jobs, lifecycle, preflight
from mailer.campaigns.revisions import Content
from mailer.delivery import jobs as sending
from mailer.media import pictures
from tracking import ingest
from tracking.buffer import STREAM
from tracking.packing import Fetch, in_entries, pack
from unsubscribe import consent

MEMBERS = 208
SENT_BEFORE = timedelta(hours=49)
AGREED_BEFORE = timedelta(days=60)
OPEN_SHARE = 0.34
CLICK_SHARE = 0.32
MACHINE_SHARE = 0.12
_SEED = 20261124

_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
)


def fill(ground: Runtime) -> None:
    """Everything, in a few seconds; the rings are not needed, since this very process does the work."""
    chance = random.Random(_SEED)
    now = clock.now()
    with ground.writing() as session:
        installation.put(
            session,
            "organisation",
            {"name": "Kairan Books", "address": "2-1-5 Kanda-Jimbocho, Chiyoda-ku, Tokyo 101-0051", "contact": "help@books.example"},
            now=now,
        )
        installation.put(session, "sender", {"name": "Kairan Books", "email": "letter@books.example"}, now=now)
        news = lists.create(session, name="News from the bookshop", purpose="News and offers of the bookshop", public=True, now=now)
        events = lists.create(session, name="Readings and events", purpose="Invitations to readings", public=True, now=now)
        list_ids = news.id, events.id
    names = [line.split() for line in resources.path("templates/mail/demo/names.txt").read_text("utf-8").splitlines()]
    rows = [_person(chance, at, names) for at in range(MEMBERS)]
    _import(ground, list_ids[0], rows, "Sign-up form of the shop: I want news and offers by mail.", "readers.csv")
    _import(ground, list_ids[1], rows[::3], "Sign-up form of the shop: I want invitations to readings.", "guests.csv")
    _joined_long_ago(ground)
    picture = _picture(ground)
    sent = _letter(ground, list_ids[0], "November letter", "html", _source("november.html", picture))
    _send(ground, sent)
    _history(ground, sent, chance)
    _letter(ground, list_ids[0], "December letter", "document", _source("december.json", picture))


def _person(chance: random.Random, at: int, names: list[list[str]]) -> dict[str, str]:
    """`names`: given and family names in English, then in Japanese."""
    japanese = at % 5 < 3
    given, family = names[2:] if japanese else names[:2]
    first, last = chance.choice(given), chance.choice(family)
    name = f"{first}.{last}".lower() if not japanese else f"reader{at + 1}"
    return {
        "email": f"{name}.{at + 1}@{chance.choice(('mail.example', 'post.example', 'letters.example'))}",
        "first_name": first,
        "last_name": last,
        "locale": "ja" if japanese else "en",
        "favourite": chance.choice(("novels", "poetry", "history", "picture books")),
    }


def _import(ground: Runtime, list_id: int, rows: list[dict[str, str]], words: str, source: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    agreed = clock.now() - AGREED_BEFORE
    with ground.writing() as session:
        job = csv_import.start_import(session, list_id=list_id, consent=words, consent_at=agreed, by=None, now=clock.now(), source=source)
    csv_import.store_upload(ground, job, [out.getvalue().encode()])
    run_import(job.id)


def _joined_long_ago(ground: Runtime) -> None:
    """Over the year before the day that they agreed on, more and more of them."""
    chance, agreed = random.Random(_SEED), clock.now() - AGREED_BEFORE
    with ground.writing() as session:
        for member in session.execute(select(Member).order_by(Member.id)).scalars():
            member.created_at = agreed - timedelta(days=300 * chance.random() ** 2)
        session.execute(update(Subscription).values(since=agreed))


def _picture(ground: Runtime) -> str:
    """An evening over the roofs, drawn here; 1,200 pixels for 600 shown."""
    size = (1_200, 520)
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for y in range(size[1]):
        part = y / size[1]
        draw.line([(0, y), (size[0], y)], fill=(int(38 + 190 * part), int(48 + 96 * part), int(102 - 10 * part)))
    draw.ellipse((860, 190, 1_020, 350), fill=(255, 214, 140))
    chance = random.Random(_SEED)
    for layer, colour in enumerate(((64, 60, 104), (44, 44, 84), (26, 28, 60))):
        x = -20
        while x < size[0]:
            width, height = chance.randint(70, 150), chance.randint(60, 150) + 30 * (2 - layer)
            top = size[1] - height + layer * 18
            draw.rectangle((x, top, x + width, size[1]), fill=colour)
            draw.polygon([(x - 8, top), (x + width + 8, top), (x + width / 2, top - 40)], fill=colour)
            for window in range(chance.randint(0, 3)):
                left = x + 14 + window * 30
                draw.rectangle((left, top + 20, left + 12, top + 38), fill=(255, 208, 120) if layer == 2 else colour)
            x += width + chance.randint(0, 30)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    with ground.writing() as session:
        alt = "Roofs of the old town in the evening sun"
        return pictures.path(pictures.store(session, out.getvalue(), name="evening.jpg", alt=alt, now=clock.now()))


def _source(name: str, picture: str) -> str:
    return resources.path(f"templates/mail/demo/{name}").read_text("utf-8").replace("PICTURE", picture)


def _letter(ground: Runtime, list_id: int, name: str, kind: str, source: str) -> int:
    subjects = {
        "November letter": (
            "Long evenings, {{ member.first_name | default: 'dear reader' }}",
            "Three books for November, and a reading by candlelight",
        ),
        "December letter": (
            "{{ member.first_name | default: 'Dear reader' }}, what will you give this year?",
            "Twelve presents between two covers",
        ),
    }
    subject, preheader = subjects[name]
    content = Content(
        subject=subject,
        preheader=preheader,
        from_name="Kairan Books",
        from_email="letter@books.example",
        kind=kind,
        content=source.replace("BASE", ground.settings.base_url),
    )
    with ground.writing() as session:
        return lifecycle.create(session, name, lifecycle.Reach(lists=(list_id,)), content, now=clock.now()).id


def _send(ground: Runtime, campaign_id: int) -> None:
    """Through everything a marketer's click goes through, in this process. Raises RuntimeError where the samples are at fault."""
    with ground.reading() as session:
        findings = preflight.check(session, campaign_id, ground.settings, now=clock.now())
    if preflight.has_errors(findings):
        raise RuntimeError("; ".join(finding.message for finding in findings if finding.level == "error"))
    with ground.writing() as session:
        lifecycle.schedule(session, campaign_id, clock.now(), now=clock.now())
    jobs.start_due()
    sending.run_lane(campaign_id)
    with ground.writing() as session:
        lifecycle.finish_if_done(session, campaign_id, now=clock.now())


def _history(ground: Runtime, campaign_id: int, chance: random.Random) -> None:
    """Two days in which people opened, clicked and one left; scanners and Apple's relay came by as well."""
    began = clock.now() - SENT_BEFORE
    with ground.writing() as session:
        session.execute(
            update(Campaign)
            .where(Campaign.id == campaign_id)
            .values(started_at=began, snapshot_at=began, ended_at=began + timedelta(minutes=1))
        )
        session.execute(
            update(Delivery).where(Delivery.campaign_id == campaign_id, Delivery.state == State.ACCEPTED).values(ended_at=began)
        )
        numbers = list(
            session.execute(
                select(Delivery.number)
                .where(Delivery.campaign_id == campaign_id, Delivery.state == State.ACCEPTED)
                .order_by(Delivery.number)
            ).scalars()
        )
        links = list(session.execute(select(Link.number).where(Link.campaign_id == campaign_id).order_by(Link.number)).scalars())
    fetches = _fetches(campaign_id, numbers, links, began, chance)
    redis = ground.redis
    for entry in in_entries(fetches):
        redis.xadd(STREAM, {"b": pack(entry, {})})
    while ingest.drain(ground.database, redis, clock.now()):
        pass
    _leave(ground, campaign_id, numbers, chance, began)


def _fetches(campaign_id: int, numbers: list[int], links: list[int], began: datetime, chance: random.Random) -> list[Fetch]:
    found: list[Fetch] = []

    def add(number: int, kind: EventKind, link: int, after_h: float, agent: str, *, head: bool = False) -> None:
        ms = int((began + timedelta(hours=after_h)).timestamp() * 1000)
        found.append(Fetch(campaign_id, number, int(kind), link, ms, head, agent, bytes((192, 0, 2))))

    for number in numbers:
        if chance.random() < MACHINE_SHARE:
            add(number, EventKind.OPEN, 0, 0.02 + chance.random() * 0.2, "Mozilla/5.0")
            for link in links if chance.random() < 0.3 else ():
                add(number, EventKind.CLICK, link, 0.01, "scanner", head=True)
        if chance.random() >= OPEN_SHARE:
            continue
        after = _hours(chance)
        agent = chance.choice(_AGENTS)
        add(number, EventKind.OPEN, 0, after, agent)
        if chance.random() < 0.25:
            add(number, EventKind.OPEN, 0, min(after + chance.random() * 12, 48), agent)
        if links and chance.random() < CLICK_SHARE:
            for link in chance.sample(links, chance.choice((1, 1, 1, 2))):
                add(number, EventKind.CLICK, link, min(after + 0.01 + chance.random() * 0.1, 48), agent)
    return sorted(found, key=lambda fetch: fetch.ms)


def _hours(chance: random.Random) -> float:
    """Most in the first hours, a second wave on the next day."""
    if chance.random() < 0.28:
        return min(max(chance.gauss(23, 2.5), 0.1), 47.9)
    return min(-6.5 * math.log(1 - chance.random()) + 0.05, 47.9)


def _leave(ground: Runtime, campaign_id: int, numbers: list[int], chance: random.Random, began: datetime) -> None:
    """One member unsubscribed by the link in the letter."""
    with ground.writing() as session:
        member_id = session.execute(
            select(Delivery.member_id).where(Delivery.campaign_id == campaign_id, Delivery.number == chance.choice(numbers))
        ).scalar_one()
        session.get_one(Member, member_id)
        consent.leave_all(session, member_id, source=ConsentSource.ONE_CLICK, campaign_id=campaign_id, now=began + timedelta(hours=5))
