"""What becomes of staged fetches: steps that keep each or drop it with a reason, and tell people from machines, in one statement.

    known → choice of campaign and member → machine or person → duplicate → burst → first of its kind

The member's choice is the one that holds now: a mail of last year obeys a refusal of today.
"""

from functools import cache

from sqlalchemy.orm import Session

from kairan.models.audience import Recording
from kairan.models.deliveries import State
from kairan.models.events import EventKind
from kairan.sql import is_sqlite
from tracking import machines, staging

CLOCKS_MS = 30 * 86_400_000
"""no fetch waits longer than this; a time further from the entry's own is made up"""
AGAIN_MS = 1_000
"""the same delivery, kind and link again within this is one act: mail programs fetch an image twice, people double-click"""

TABLE = "drain_judged"
_CREATE = f"""CREATE TEMPORARY TABLE IF NOT EXISTS {TABLE} (
    entry bigint, slot integer, campaign_id bigint, number bigint, kind integer, link integer, ms bigint, member_id bigint,
    machine integer, rule text, client text, network text, device text, country text, domain text, anonymous integer, why text,
    opens_before integer, clicks_before integer, link_before integer, last_ms bigint
)"""
_OPEN, _CLICK = int(EventKind.OPEN), int(EventKind.CLICK)
_KEY = "campaign_id, number, kind, link, machine"


def judge(session: Session) -> None:
    """Fills TABLE from the staged fetches. `why`: NULL keeps; `anonymous`: counted in the hours only, without a delivery.

    `…_before` and `last_ms` are what the delivery had before this batch, NULL for nothing.
    """
    staging.empty_table(session, TABLE, _CREATE)
    sqlite = is_sqlite(session)
    connection = session.connection()
    facts, repeats, seen_before, bursts = _statements(sqlite)
    if sqlite:
        for statement in (facts, repeats, seen_before, bursts):
            connection.exec_driver_sql(statement)
        return
    # A temporary table has no statistics. A guess must not turn the facts into a scan of all deliveries (10,000 look-ups by key take
    # 40 ms), nor a join of the table with itself into 10,000 scans of it (0.4 s a batch, seen when three columns were added).
    connection.exec_driver_sql("SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; SET LOCAL enable_hashjoin = off")
    connection.exec_driver_sql(facts)
    connection.exec_driver_sql("SET LOCAL enable_hashjoin = on")
    for statement, nestloop in ((repeats, "off"), (seen_before, "on"), (bursts, "off")):
        connection.exec_driver_sql(f"SET LOCAL enable_nestloop = {nestloop}")
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("SET LOCAL enable_nestloop = on")


def milliseconds(column: str, *, sqlite: bool) -> str:
    """A stored moment as milliseconds since 1970."""
    if sqlite:
        return f"(CAST(strftime('%s', {column}) AS INTEGER) * 1000 + CAST(substr({column}, 21, 3) AS INTEGER))"
    return f"CAST(extract(epoch FROM {column}) * 1000 AS bigint)"


def moment(ms: str, *, sqlite: bool) -> str:
    """Milliseconds since 1970 as a moment is stored; UTC."""
    return f"strftime('%Y-%m-%d %H:%M:%f000', {ms} / 1000.0, 'unixepoch')" if sqlite else f"to_timestamp({ms} / 1000.0)"


@cache
def _statements(sqlite: bool) -> tuple[str, ...]:
    return _facts(sqlite), _repeats(), _seen_before(sqlite), _bursts()


def _facts(sqlite: bool) -> str:
    """Known, choice, and the verdict that a fetch allows on its own."""
    after = f"f.ms - {milliseconds('d.ended_at', sqlite=sqlite)}"
    early = f"""d.state = {int(State.SENDING)}
            OR (d.state = {int(State.ACCEPTED)} AND {after} > -{machines.BEFORE_MS} AND {after} < {machines.EARLY_MS})"""
    domain = "substr(m.email, instr(m.email, '@') + 1)" if sqlite else "split_part(m.email, '@', 2)"
    return f"""INSERT INTO {TABLE}
SELECT f.entry, f.slot, f.campaign_id, f.number, f.kind, f.link, f.ms, d.member_id,
    CASE WHEN f.agent_machine = 1 OR f.is_head = 1 OR {early} THEN 1 ELSE 0 END,
    CASE WHEN f.agent_machine = 1 THEN f.rule WHEN f.is_head = 1 THEN '{machines.HEAD}' WHEN {early} THEN '{machines.EARLY}'
        ELSE f.rule END,
    f.client, f.network, f.device, f.country, {domain},
    CASE WHEN f.number = 0 OR c.recording = '{Recording.AGGREGATE}' OR m.recording = '{Recording.AGGREGATE}' THEN 1 ELSE 0 END,
    CASE
        WHEN abs(f.entry / 1048576 - f.ms) > {CLOCKS_MS} THEN 'clock'
        WHEN c.id IS NULL OR (f.number <> 0 AND d.number IS NULL) THEN 'unknown'
        WHEN c.recording = '{Recording.NONE}' THEN 'not_recorded'
        WHEN f.number = 0 THEN NULL
        WHEN m.id IS NULL THEN 'erased'
        WHEN m.suspended_at IS NOT NULL THEN 'suspended'
        WHEN m.recording = '{Recording.NONE}' THEN 'refused'
    END,
    e.opens, e.clicks, l.clicks, {milliseconds("e.last_at", sqlite=sqlite)}
FROM {staging.TABLE} f
LEFT JOIN campaigns c ON c.id = f.campaign_id
LEFT JOIN deliveries d ON d.campaign_id = f.campaign_id AND d.number = f.number
LEFT JOIN members m ON m.id = d.member_id
LEFT JOIN engagement e ON e.campaign_id = f.campaign_id AND e.number = f.number
LEFT JOIN link_engagement l ON f.kind = {_CLICK} AND l.campaign_id = f.campaign_id AND l.number = f.number AND l.link = f.link"""


def _repeats() -> str:
    """A run of the same act with less than a second between is one; only who did it more than once in this batch is looked at."""
    return f"""UPDATE {TABLE} SET why = 'duplicate' WHERE (entry, slot) IN (
    SELECT entry, slot FROM (
        SELECT entry, slot, ms - lag(ms) OVER (PARTITION BY {_KEY} ORDER BY ms, entry, slot) AS since FROM {TABLE}
        WHERE why IS NULL AND number <> 0 AND ({_KEY}) IN (
            SELECT {_KEY} FROM {TABLE} WHERE why IS NULL AND number <> 0 GROUP BY {_KEY} HAVING count(*) > 1
        )
    ) AS runs WHERE since < {AGAIN_MS}
)"""


def _seen_before(sqlite: bool) -> str:
    """The same act within a second of one that an earlier batch wrote."""
    near = (
        f"BETWEEN {moment(f'({TABLE}.ms - {AGAIN_MS - 1})', sqlite=sqlite)} AND {moment(f'({TABLE}.ms + {AGAIN_MS - 1})', sqlite=sqlite)}"
    )
    return f"""UPDATE {TABLE} SET why = 'duplicate'
WHERE why IS NULL AND number <> 0 AND abs(last_ms - ms) < {AGAIN_MS} AND EXISTS (
    SELECT 1 FROM events v WHERE v.campaign_id = {TABLE}.campaign_id AND v.occurred_at {near} AND v.number = {TABLE}.number
        AND v.kind = {TABLE}.kind AND v.link = {TABLE}.link AND CASE WHEN v.machine THEN 1 ELSE 0 END = {TABLE}.machine
)"""


def _bursts() -> str:
    """Clicks on several links of one mail at once; only mails with enough clicks in this batch are looked at."""
    clicks = f"FROM {TABLE} WHERE why IS NULL AND kind = {_CLICK} AND number <> 0 AND machine = 0"
    return f"""UPDATE {TABLE} SET machine = 1, rule = '{machines.BURST}' WHERE (entry, slot) IN (
    SELECT entry, slot FROM (
        SELECT entry, slot, count(*) OVER near AS clicks_near, min(link) OVER near AS least, max(link) OVER near AS greatest
        {clicks} AND (campaign_id, number) IN (
            SELECT campaign_id, number {clicks} GROUP BY campaign_id, number HAVING count(*) >= {machines.BURST_CLICKS}
        )
        WINDOW near AS (
            PARTITION BY campaign_id, number ORDER BY ms RANGE BETWEEN {machines.BURST_MS} PRECEDING AND {machines.BURST_MS} FOLLOWING
        )
    ) AS clicks WHERE clicks_near >= {machines.BURST_CLICKS} AND least <> greatest
)"""
