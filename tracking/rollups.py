"""What judged fetches add up to, in the transaction of their stream position: events, engagement, links, hours, dropped by reason.

Rows go in the order of their keys, so two transactions that touch the same rows wait for each other instead of dying of each other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from sqlalchemy.orm import Session

from kairan import feed
from kairan.models.events import Aspect, EventKind
from kairan.sql import is_sqlite
from tracking.steps import TABLE, moment

_HOUR_MS = 3_600_000
_OPEN, _CLICK = int(EventKind.OPEN), int(EventKind.CLICK)
_FACETS = ("opens", "clicks", "openers", "clickers", "machines")
_NAMED = "why IS NULL AND anonymous = 0"


def add(session: Session, dropped: Mapping[str, int], now: datetime) -> None:
    """Everything that the judged fetches change, and what was dropped before they were fetches."""
    sqlite = is_sqlite(session)
    connection = session.connection()
    for statement in _statements(sqlite):
        connection.exec_driver_sql(statement)
    if feed.is_wanted(session):
        connection.exec_driver_sql(_feed(sqlite))
    day = now.astimezone(UTC).date().isoformat()
    mark = "?" if sqlite else "%s"
    for reason, count in dropped.items():
        connection.exec_driver_sql(_counted(f"VALUES ({mark}, {mark}, {mark})"), (day, reason, count))
    reasons = f"SELECT CAST({mark} AS text), why, count(*) FROM {TABLE} WHERE why IS NOT NULL GROUP BY why ORDER BY why"
    connection.exec_driver_sql(_counted(reasons), (day,))


def _counted(rows: str) -> str:
    return f"""INSERT INTO ingest_counts (day, reason, count) {rows}
ON CONFLICT (day, reason) DO UPDATE SET count = ingest_counts.count + excluded.count"""


@cache
def _statements(sqlite: bool) -> tuple[str, ...]:
    return _events(sqlite), _engagement(sqlite), _links(sqlite), _hours(sqlite), _facets()


def _feed(sqlite: bool) -> str:
    """What webhooks may be told of; its detail is put into words by mailer.webhooks."""
    made = "json_object" if sqlite else "jsonb_build_object"
    kind = f"CASE WHEN kind = {_OPEN} THEN 'open' ELSE 'click' END"
    return f"""INSERT INTO feed (kind, at, campaign_id, member_id, detail)
SELECT {kind}, {moment("ms", sqlite=sqlite)}, campaign_id, member_id,
    {made}('delivery', number, 'link', link, 'machine', machine, 'rule', rule, 'client', client, 'device', device)
FROM {TABLE} WHERE {_NAMED} ORDER BY ms"""


def _events(sqlite: bool) -> str:
    return f"""INSERT INTO events
    (occurred_at, entry, slot, campaign_id, number, member_id, kind, link, machine, rule, client, network, device, country)
SELECT {moment("ms", sqlite=sqlite)}, entry, slot, campaign_id, number, member_id, kind, link, machine = 1, rule, client, network,
    device, country
FROM {TABLE} WHERE {_NAMED} ORDER BY ms"""


def _engagement(sqlite: bool) -> str:
    def count(kind: int, machine: int) -> str:
        return f"sum(CASE WHEN kind = {kind} AND machine = {machine} THEN 1 ELSE 0 END)"

    def first(kind: int) -> str:
        return moment(f"min(CASE WHEN kind = {kind} AND machine = 0 THEN ms END)", sqlite=sqlite)

    return f"""INSERT INTO engagement
    (campaign_id, number, member_id, opens, clicks, machine_opens, machine_clicks, first_open_at, first_click_at, last_at)
SELECT campaign_id, number, max(member_id), {count(_OPEN, 0)}, {count(_CLICK, 0)}, {count(_OPEN, 1)}, {count(_CLICK, 1)},
    {first(_OPEN)}, {first(_CLICK)}, {moment("max(ms)", sqlite=sqlite)}
FROM {TABLE} WHERE {_NAMED} GROUP BY campaign_id, number ORDER BY campaign_id, number
ON CONFLICT (campaign_id, number) DO UPDATE SET
    {_sums("engagement", "opens", "clicks", "machine_opens", "machine_clicks")},
    first_open_at = {_least("engagement", "first_open_at", sqlite)}, first_click_at = {_least("engagement", "first_click_at", sqlite)},
    last_at = {"max" if sqlite else "greatest"}(engagement.last_at, excluded.last_at)"""


def _links(sqlite: bool) -> str:
    return f"""INSERT INTO link_engagement (campaign_id, number, link, clicks, machine_clicks, first_at)
SELECT campaign_id, number, link, sum(1 - machine), sum(machine), {moment("min(ms)", sqlite=sqlite)}
FROM {TABLE} WHERE {_NAMED} AND kind = {_CLICK} GROUP BY campaign_id, number, link ORDER BY campaign_id, number, link
ON CONFLICT (campaign_id, number, link) DO UPDATE SET
    {_sums("link_engagement", "clicks", "machine_clicks")}, first_at = {_least("link_engagement", "first_at", sqlite)}"""


def _hours(sqlite: bool) -> str:
    """People and machines by hour; in the hour of the first of a batch, those for whom it was the first of all."""
    people = f"FROM {TABLE} WHERE {_NAMED} AND machine = 0"
    return f"""INSERT INTO rollups (campaign_id, hour, kind, link, people, machines, uniques, unique_any, anonymous)
SELECT campaign_id, {moment("hour_ms", sqlite=sqlite)}, kind, link,
    sum(people), sum(machines), sum(uniques), sum(unique_any), sum(anonymous)
FROM (
    SELECT campaign_id, {_hour("ms")} AS hour_ms, kind, link, sum(1 - machine) AS people, sum(machine) AS machines,
        0 AS uniques, 0 AS unique_any, sum((1 - machine) * anonymous) AS anonymous
    FROM {TABLE} WHERE why IS NULL GROUP BY campaign_id, {_hour("ms")}, kind, link
    UNION ALL SELECT campaign_id, {_hour("ms")}, kind, link, 0, 0, count(*), 0, 0 FROM (
        SELECT campaign_id, kind, link, min(ms) AS ms {people}
            AND coalesce(CASE WHEN kind = {_OPEN} THEN opens_before ELSE link_before END, 0) = 0
        GROUP BY campaign_id, number, kind, link
    ) AS firsts GROUP BY campaign_id, {_hour("ms")}, kind, link
    UNION ALL SELECT campaign_id, {_hour("ms")}, {_CLICK}, link, 0, 0, 0, count(*), 0 FROM (
        SELECT campaign_id, link, ms, row_number() OVER (PARTITION BY campaign_id, number ORDER BY ms, entry, slot) AS nth {people}
            AND kind = {_CLICK} AND coalesce(clicks_before, 0) = 0
    ) AS firsts WHERE nth = 1 GROUP BY campaign_id, {_hour("ms")}, link
) AS given WHERE true GROUP BY campaign_id, hour_ms, kind, link ORDER BY campaign_id, hour_ms, kind, link
ON CONFLICT (campaign_id, hour, kind, link) DO UPDATE SET
    {_sums("rollups", "people", "machines", "uniques", "unique_any", "anonymous")}"""


def _facets() -> str:
    """Fetches by client, device, domain, country and rule, with those that were the delivery's first of all.

    Once by all of them together, then each for itself: a batch has 20 times as many fetches as such groups. Who is recorded in the
    aggregate has no domain here, since a domain of one's own is a name.
    """
    before = f"coalesce(CASE WHEN kind = {_OPEN} THEN opens_before ELSE clicks_before END, 0) = 0"
    nth = "row_number() OVER (PARTITION BY campaign_id, number, kind, machine, anonymous ORDER BY ms, entry, slot)"
    counted = ", ".join(f"sum({name}) AS {name}" for name in _FACETS)

    def values(aspect: Aspect) -> str:
        return f"SELECT campaign_id, {int(aspect)} AS aspect, {aspect.name.lower()} AS value, {', '.join(_FACETS)} FROM grouped"

    return f"""INSERT INTO facets (campaign_id, aspect, value, {", ".join(_FACETS)})
WITH fetches AS (
    SELECT campaign_id, kind, machine, coalesce(client, '') AS client, coalesce(device, '') AS device,
        coalesce(country, '') AS country, rule,
        CASE WHEN anonymous = 1 THEN '' ELSE coalesce(domain, '') END AS domain,
        CASE WHEN machine = 0 AND anonymous = 0 AND {before} AND {nth} = 1 THEN 1 ELSE 0 END AS is_first
    FROM {TABLE} WHERE why IS NULL
), grouped AS (
    SELECT campaign_id, client, device, country, rule, domain,
        sum(CASE WHEN machine = 0 AND kind = {_OPEN} THEN 1 ELSE 0 END) AS opens,
        sum(CASE WHEN machine = 0 AND kind = {_CLICK} THEN 1 ELSE 0 END) AS clicks,
        sum(CASE WHEN kind = {_OPEN} THEN is_first ELSE 0 END) AS openers,
        sum(CASE WHEN kind = {_CLICK} THEN is_first ELSE 0 END) AS clickers,
        sum(machine) AS machines
    FROM fetches GROUP BY campaign_id, client, device, country, rule, domain
)
SELECT campaign_id, aspect, value, {counted}
FROM ({" UNION ALL ".join(map(values, Aspect))}) AS given
WHERE true GROUP BY campaign_id, aspect, value ORDER BY campaign_id, aspect, value
ON CONFLICT (campaign_id, aspect, value) DO UPDATE SET {_sums("facets", *_FACETS)}"""


def _hour(ms: str) -> str:
    return f"{ms} / {_HOUR_MS} * {_HOUR_MS}"


def _sums(table: str, *names: str) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names)


def _least(table: str, name: str, sqlite: bool) -> str:
    """SQLite's min() of a NULL is NULL, and PostgreSQL's least() is not: each side stands in for the other."""
    kept, given = f"{table}.{name}", f"excluded.{name}"
    return f"{'min' if sqlite else 'least'}(coalesce({kept}, {given}), coalesce({given}, {kept}))"
