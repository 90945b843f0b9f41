"""A campaign that was sent and read, in bulk: events first, and every counter from them, as a drain would have added them up."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from kairan.models.campaigns import Link
from kairan.models.deliveries import State
from kairan.models.events import Aspect, EventKind
from kairan.sql import is_sqlite
from mailer.bench import sample

FETCHES_A_DELIVERY = 10
CLIENTS = ("Apple Mail", "Gmail", "Outlook", "Chrome", "Yahoo Mail", "Thunderbird")
DEVICES = ("phone", "computer", "tablet")
DAYS = 30
CACHE_KB = 800_000
"""of SQLite while rows are made: members come in no order, and 16 MB made 10,000,000 events last more than twelve minutes"""
_OPEN, _CLICK = int(EventKind.OPEN), int(EventKind.CLICK)


def fill(session: Session, campaign_id: int, events: int, started_at: datetime) -> None:
    """`events` fetches of the campaign by the members that are there, over 30 days, most of them early. Makes the deliveries, accepted."""
    sqlite = is_sqlite(session)
    connection = session.connection()
    members = connection.exec_driver_sql("SELECT count(*) FROM members").scalar_one()
    start = int(started_at.timestamp())

    def moment(seconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f000', {seconds}, 'unixepoch')" if sqlite else f"to_timestamp({seconds})"

    def pick(values: tuple[str, ...], by: str) -> str:
        whens = " ".join(f"WHEN {place} THEN '{value}'" for place, value in enumerate(values))
        return f"CASE ({by}) % {len(values)} {whens} END"

    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {events - 1})"
        if sqlite
        else f"WITH n AS (SELECT generate_series(0, {events - 1}) AS i)"
    )
    accepted = f"SELECT {campaign_id}, id, id, address_key, {int(State.ACCEPTED)}, {moment(str(start))}, 0, 0 FROM members"

    def run(statement: str) -> None:
        connection.exec_driver_sql(statement if sqlite else statement.replace("%", "%%"))

    if sqlite:
        run(f"PRAGMA cache_size = -{CACHE_KB}")
    run(f"INSERT INTO deliveries (campaign_id, number, member_id, address_key, state, ended_at, fence, tries) {accepted}")
    if not events:
        return
    # Squared, so that half of the fetches fall into the first quarter of the time, and in its order: indexes are appended to, as in life.
    part = f"(i * 1.0 / {events})"
    spread = f"({start} + 60 + {part} * {part} * {DAYS * 86_400 - 120})"
    is_click = "i % 4 = 3"
    run(
        f"""{numbers} INSERT INTO events
            (occurred_at, entry, slot, campaign_id, number, member_id, kind, link, machine, rule, client, device, network)
        SELECT {moment(spread)}, CAST({campaign_id} AS bigint) * 1048576 * 64 + i, 0, {campaign_id},
            1 + (i * 31) % {members}, 1 + (i * 31) % {members},
            CASE WHEN {is_click} THEN {_CLICK} ELSE {_OPEN} END, CASE WHEN {is_click} THEN 1 + i / 4 % {sample.LINKS} ELSE 0 END,
            i % 3 = 0, CASE WHEN i % 3 = 0 THEN {pick(("apple_relay/1", "burst/1", "early/1"), "i / 3")} ELSE 'person/1' END,
            {pick(CLIENTS, f"i % {members}")}, CASE WHEN i % 3 = 0 THEN NULL ELSE {pick(DEVICES, f"i % {members}")} END, '203.0.113.0/24'
        FROM n"""
    )
    for statement in _counters(campaign_id, sqlite):
        run(statement)
    if not sqlite:
        for table in ("events", "engagement", "rollups", "facets", "deliveries", "members"):
            run(f"ANALYZE {table}")


def _counters(campaign_id: int, sqlite: bool) -> tuple[str, ...]:
    hour = "strftime('%Y-%m-%d %H:00:00.000000', occurred_at)" if sqlite else "date_trunc('hour', occurred_at)"
    of = f"FROM events WHERE campaign_id = {campaign_id}"
    person, machine = "CASE WHEN machine THEN 0 ELSE 1 END", "CASE WHEN machine THEN 1 ELSE 0 END"

    def count(kind: int, whose: str) -> str:
        return f"sum(CASE WHEN kind = {kind} THEN {whose} ELSE 0 END)"

    def first(kind: int) -> str:
        return f"min(CASE WHEN kind = {kind} AND NOT machine THEN occurred_at END)"

    def nth(key: str) -> str:
        return f"SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY occurred_at, entry) AS nth {of} AND NOT machine"

    aspects = {
        Aspect.CLIENT: "coalesce(client, '')", Aspect.DEVICE: "coalesce(device, '')", Aspect.RULE: "rule",
        Aspect.COUNTRY: "''", Aspect.DOMAIN: "'dest' || (number % 50) || '.example'",
    }  # fmt: skip
    is_first = f"{person} * CASE WHEN nth = 1 THEN 1 ELSE 0 END"
    facets = " UNION ALL ".join(
        f"SELECT {int(aspect)} AS aspect, {value} AS value, kind, machine, {is_first} AS first_one FROM f"
        for aspect, value in aspects.items()
    )
    return (
        f"""INSERT INTO engagement
            (campaign_id, number, member_id, opens, clicks, machine_opens, machine_clicks, first_open_at, first_click_at, last_at)
        SELECT campaign_id, number, max(member_id), {count(_OPEN, person)}, {count(_CLICK, person)}, {count(_OPEN, machine)},
            {count(_CLICK, machine)}, {first(_OPEN)}, {first(_CLICK)}, max(occurred_at) {of} GROUP BY campaign_id, number""",
        f"""INSERT INTO link_engagement (campaign_id, number, link, clicks, machine_clicks, first_at)
        SELECT campaign_id, number, link, sum({person}), sum({machine}), min(occurred_at) {of} AND kind = {_CLICK}
        GROUP BY campaign_id, number, link""",
        f"""INSERT INTO rollups (campaign_id, hour, kind, link, people, machines, uniques, unique_any, anonymous)
        SELECT campaign_id, hour, kind, link, sum(people), sum(machines), sum(uniques), sum(any_one), 0 FROM (
            SELECT campaign_id, {hour} AS hour, kind, link, {person} AS people, {machine} AS machines, 0 AS uniques, 0 AS any_one {of}
            UNION ALL SELECT campaign_id, {hour}, kind, link, 0, 0, 1, 0 FROM ({nth("number, kind, link")}) AS a WHERE nth = 1
            UNION ALL SELECT campaign_id, {hour}, kind, link, 0, 0, 0, 1 FROM ({nth("number, kind")}) AS b WHERE nth = 1 AND kind = {_CLICK}
        ) AS given GROUP BY campaign_id, hour, kind, link""",
        f"""INSERT INTO facets (campaign_id, aspect, value, opens, clicks, openers, clickers, machines)
        WITH f AS (SELECT *, row_number() OVER (PARTITION BY number, kind, machine ORDER BY occurred_at, entry) AS nth {of})
        SELECT {campaign_id}, aspect, value, {count(_OPEN, person)}, {count(_CLICK, person)}, {count(_OPEN, "first_one")},
            {count(_CLICK, "first_one")}, sum({machine}) FROM ({facets}) AS given GROUP BY aspect, value""",
    )


def campaign(session: Session, list_id: int, now: datetime) -> int:
    """One with a mail of 20 KB and its ten links."""
    campaign_id = sample.campaign(session, list_id, 20_000, now)
    session.add_all(
        Link(campaign_id=campaign_id, number=at + 1, revision=1, kind="text", label=f"Story {at} of this month", url=f"{sample.SHOP}{at}")
        for at in range(sample.LINKS)
    )
    session.flush()
    return campaign_id


def begun(now: datetime) -> datetime:
    """When such a campaign started, so that all its reading lies in the past."""
    return now - timedelta(days=DAYS)
