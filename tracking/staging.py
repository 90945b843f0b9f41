"""Entries of the stream become rows of a temporary table, on which tracking.steps works as a whole.

Object by object a fetch cost 50 us in Python, most of it in looking up, counting and remembering what a database does in two or three.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Session

from kairan.sql import is_sqlite
from tracking import machines, networks, packing
from tracking.buffer import FIELD
from tracking.networks import NOTHING, Networks

StreamEntry = tuple[bytes, dict[bytes, bytes]]

_COLUMNS = {
    "entry": "bigint", "slot": "integer", "campaign_id": "bigint", "number": "bigint", "kind": "integer", "link": "integer", "ms": "bigint",
    "is_head": "integer", "agent_machine": "integer", "rule": "text", "client": "text", "network": "text",
    "device": "text", "country": "text",
}  # fmt: skip
TABLE = "drain_fetches"
_CREATE = f"CREATE TEMPORARY TABLE IF NOT EXISTS {TABLE} ({', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})"
_COPY = f"COPY {TABLE} FROM STDIN"
_INSERT = f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(_COLUMNS))})"


def empty_table(session: Session, name: str, create: str) -> None:
    """A temporary table of this connection, made on first use. PostgreSQL empties it at the commit, SQLite's is emptied here."""
    connection = session.connection()
    if is_sqlite(session):
        connection.exec_driver_sql(create)
        connection.exec_driver_sql(f"DELETE FROM {name}")
    else:
        connection.exec_driver_sql(f"SET LOCAL client_min_messages = warning; {create} ON COMMIT DELETE ROWS")


def stage(session: Session, entries: Sequence[StreamEntry], known: Networks = NOTHING) -> Counter[str]:
    """Writes what the entries hold. Returns what they say was lost, by reason, and how many nobody of ours can have written."""
    empty_table(session, TABLE, _CREATE)
    dropped: Counter[str] = Counter()
    if is_sqlite(session):
        rows = [row for entry in _readable(entries, dropped) for row in _rows(*entry, known)]
        if rows:
            session.connection().exec_driver_sql(_INSERT, rows)
        return dropped
    connection: Any = session.connection().connection.driver_connection
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for entry in _readable(entries, dropped):
            copy.write(_lines(*entry, known))
    return dropped


def _readable(entries: Sequence[StreamEntry], dropped: Counter[str]) -> Iterator[tuple[int, packing.Raw]]:
    """(where the entry stood, what it holds)"""
    for entry_id, fields in entries:
        ms, _, sequence = entry_id.decode().partition("-")
        try:
            if int(ms) >= 2**43 or int(sequence) >= 2**20:
                raise packing.Malformed(entry_id)
            raw = packing.unpack_raw(fields[FIELD])
        except (packing.Malformed, KeyError):
            dropped["malformed"] += 1
            continue
        for code, count in raw.lost.items():
            dropped[packing.LOST[code]] += count
        yield int(ms) * 2**20 + int(sequence), raw


def _rows(place: int, raw: packing.Raw, known: Networks) -> Iterator[tuple[Any, ...]]:
    verdicts = [machines.of_agent(agent) for agent in raw.agents]
    for slot, (campaign_id, number, flags, link, ms, agent, length, network) in enumerate(raw.records):
        name, country, is_gateway = known.of(network[:length])
        rule, is_machine, client, device = _stricter(verdicts[agent], is_gateway)
        kind, is_head = flags & ~packing.HEAD, int(flags >= packing.HEAD)
        yield (
            place, slot, campaign_id, number, kind, link, ms, is_head, int(is_machine), rule, client, name,
            device.value if device else None, country,
        )  # fmt: skip


def _lines(place: int, raw: packing.Raw, known: Networks) -> str:
    """The same in COPY's text form. Nothing of it is anybody's text: numbers, and names out of our own tables, need no escaping."""
    verdicts = [machines.of_agent(agent) for agent in raw.agents]
    said = [tuple(_said(_stricter(verdict, gateway)) for gateway in (False, True)) for verdict in verdicts]
    head, of = packing.HEAD, known.of
    return "".join(
        [
            f"{place}\t{slot}\t{campaign_id}\t{number}\t{flags & ~head}\t{link}\t{ms}\t{int(flags >= head)}\t"
            f"{said[agent][found.is_gateway][0]}\t{found.name or _NULL}\t{said[agent][found.is_gateway][1]}\t{found.country or _NULL}\n"
            for slot, (campaign_id, number, flags, link, ms, agent, length, network) in enumerate(raw.records)
            for found in (of(network[:length]),)
        ]
    )


def _stricter(verdict: machines.Verdict, is_gateway: bool) -> machines.Verdict:
    """A provider's proxy is told by its name and stays a person's, wherever it stands."""
    return networks.GATEWAY if is_gateway and verdict.rule == machines.PERSON else verdict


_NULL = "\\N"


def _said(verdict: machines.Verdict) -> tuple[str, str]:
    return f"{int(verdict.machine)}\t{verdict.rule}\t{verdict.client or _NULL}", verdict.device or _NULL
