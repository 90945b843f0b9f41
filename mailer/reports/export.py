"""A campaign's events as CSV or JSON Lines, page by page, in flat memory; personal data leaves only with a purpose and a recipient."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, select, tuple_
from sqlalchemy.orm import Session

from kairan import audit
from kairan.addresses import masked
from kairan.database import Database
from kairan.models.audience import Member
from kairan.models.audit import Provision
from kairan.models.campaigns import Link
from kairan.models.events import Event, EventKind

COLUMNS = ("occurred_at", "type", "member_id", "email", "link", "kind", "label", "machine", "rule")
PAGE = 2_000
TEXT_MAX = 500
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
"""format → media type"""
TYPES = {"open": EventKind.OPEN, "click": EventKind.CLICK}
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Row = tuple[Any, ...]


class MissingPurpose(Exception):
    """An export of personal data says what for and to whom (PRIVACY.md clause 7). `field`: which of the two is missing or too long."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def provide(session: Session, campaign_id: int, *, actor: str, purpose: str, recipient: str, now: datetime) -> None:
    """Writes the export into the register of provisions and the audit; to be committed before the first byte. Raises MissingPurpose."""
    purpose, recipient = purpose.strip(), recipient.strip()
    for field, value in (("purpose", purpose), ("recipient", recipient)):
        if not value or len(value) > TEXT_MAX:
            raise MissingPurpose(field)
    provision = Provision(happened_at=now, actor=actor, what="events", object_id=campaign_id, purpose=purpose, recipient=recipient)
    session.add(provision)
    session.flush()
    audit.note(session, actor, "export.events", campaign_id, {"provision": provision.id}, now)


def stream(
    database: Database, campaign_id: int, format_: str = "csv", *, type_: str | None = None, spreadsheet: bool = False, mask: bool = False
) -> Iterator[bytes]:
    """The file in pieces, each of one page and one short transaction. Call provide() before.

    Members who are recorded in the aggregate have no events of their own, so none is in it. `spreadsheet`: CSV that Excel opens as
    UTF-8 and that runs no formula; without it every value is as it is. `mask`: for whoever may not see addresses.
    Raises KeyError on a format or type that is not there.
    """
    kind = None if type_ is None else TYPES[type_]
    write: Callable[[Sequence[Row]], str] = {"csv": _csv_writer(spreadsheet), "jsonl": _json_lines}[format_]
    return _pieces(database, campaign_id, kind, write, head=format_ == "csv", spreadsheet=spreadsheet, mask=mask)


def _pieces(
    database: Database,
    campaign_id: int,
    kind: EventKind | None,
    write: Callable[[Sequence[Row]], str],
    *,
    head: bool,
    spreadsheet: bool,
    mask: bool,
) -> Iterator[bytes]:
    if head:
        yield ((BOM if spreadsheet else "") + write([COLUMNS])).encode()
    for rows in pages(database, campaign_id, kind):
        yield write([_masked(row) for row in rows] if mask else rows).encode()


def _masked(row: Row) -> Row:
    place = COLUMNS.index("email")
    return (*row[:place], masked(row[place]) if row[place] else None, *row[place + 1 :])


def pages(database: Database, campaign_id: int, kind: EventKind | None = None) -> Iterator[list[Row]]:
    """Rows of COLUMNS in the order of time."""
    after: tuple[datetime, int, int] | None = None
    while True:
        with database.reading() as session:
            found = session.execute(_page(campaign_id, kind, after)).all()
        if found:
            yield [_row(row) for row in found]
        if len(found) < PAGE:
            return
        last = found[-1]
        after = last.occurred_at, last.entry, last.slot


def _page(campaign_id: int, kind: EventKind | None, after: tuple[datetime, int, int] | None) -> Select[Any]:
    place = Event.occurred_at, Event.entry, Event.slot
    shown: tuple[Any, ...] = (
        Event.kind, Event.member_id, Member.email, Event.link, Link.kind.label("what"), Link.label, Event.machine, Event.rule,
    )  # fmt: skip
    query: Select[Any] = (
        select(*place, *shown)
        .outerjoin(Member, Member.id == Event.member_id)
        .outerjoin(Link, and_(Link.campaign_id == Event.campaign_id, Link.number == Event.link))
        .where(Event.campaign_id == campaign_id)
        .order_by(*place)
        .limit(PAGE)
    )
    if kind is not None:
        query = query.where(Event.kind == kind)
    if after is not None:
        # The first condition is what the index (campaign, time) is entered by; the second says where in that millisecond.
        query = query.where(Event.occurred_at >= after[0], tuple_(*place) > tuple_(*after))
    return query


def _row(row: Any) -> Row:
    return (
        row.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventKind(row.kind).name.lower(),
        None if row.member_id is None else str(row.member_id),
        row.email,
        row.link or None,
        row.what,
        row.label,
        row.machine,
        row.rule,
    )


# ---- formats


def _json_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)


def _csv_writer(spreadsheet: bool) -> Callable[[Sequence[Row]], str]:
    def write(rows: Sequence[Row]) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n").writerows([[_cell(value, spreadsheet) for value in row] for row in rows])
        return out.getvalue()

    return write


def _cell(value: Any, spreadsheet: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return formula_safe(str(value)) if spreadsheet else str(value)


def formula_safe(text: str) -> str:
    """A text that a spreadsheet would run gets an apostrophe before it, also behind leading spaces; a number stays a number."""
    if text.lstrip(" ").startswith(_FORMULA) and not _is_number(text):
        return "'" + text
    return text


def _is_number(text: str) -> bool:
    """`-5`, `+81 3 1234 5678`: signs before digits run nothing."""
    return text.isascii() and text[:1] in ("+", "-") and text[1:].replace(" ", "").replace(".", "", 1).isdigit()
