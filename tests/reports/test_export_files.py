"""An exported file opens in what people use, with the types and rows that are in the database."""

import csv
import errno
import gc
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest

from kairan import clock
from kairan.models.audience import Attribute, List, Member, Purpose, Subscription
from kairan.models.suppression import SuppressionReason
from mailer.reports import export, export_formats, export_sources, export_xlsx
from mailer.reports.export import FORMATS, SOURCES, Scope, Wanted
from mailer.reports.export_formats import Options
from mailer.reports.export_sources import Column, Row
from tests.tracking.conftest import Sent
from unsubscribe import domains, suppression

COLUMNS = [
    Column("member_id", "id"), Column("email"), Column("occurred_at", "time"), Column("machine", "flag"), Column("clicks", "number"),
    Column("lists", "names"),
]  # fmt: skip
AT = datetime(2026, 11, 24, 9, 0, 1, 250_000, UTC)
ROWS: list[Row] = [
    (1, "ada@members.example", AT, True, 3, ["News", "Tips"]),
    (2, None, None, None, None, []),
    (10**17, "=1+1 続きを読む", AT.astimezone(timezone(timedelta(hours=9))).astimezone(UTC), False, -5, ["通信"]),
]


def made(format_: str, rows: Sequence[Row] = ROWS, columns: Sequence[Column] = COLUMNS, **options: Any) -> bytes:
    out = io.BytesIO()
    export_formats.write(format_, columns, [rows] if rows else [], out, Options(**options))
    return out.getvalue()


def table(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    return duckdb.read_parquet(str(path))


# ---- formats


def test_excel_finds_dates_and_numbers_as_such() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(made("xlsx", title="events"))).active

    assert sheet.title == "events"
    head, first, empty, last = sheet.iter_rows(values_only=True)
    assert head == ("member_id", "email", "occurred_at (UTC)", "machine", "clicks", "lists")
    assert first == (1, "ada@members.example", datetime(2026, 11, 24, 9, 0, 1, 250_000), True, 3, "News; Tips")
    assert empty[:5] == (2, None, None, None, None)
    assert last[:2] == (str(10**17), "=1+1 続きを読む")
    assert sheet["B4"].data_type != "f" and sheet["C2"].is_date


def test_rows_beyond_a_sheet_go_on_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_xlsx, "ROWS_MAX", 3)

    book = openpyxl.load_workbook(io.BytesIO(made("xlsx", [(number,) for number in range(5)], [Column("number", "number")], title="links")))

    assert book.sheetnames == ["links", "links 2", "links 3"]
    assert [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in book] == [["number", 0, 1], ["number", 2, 3], ["number", 4]]


def test_a_text_that_no_excel_cell_holds_is_cut_and_counted() -> None:
    out = io.BytesIO()
    long = ["x" * 32_767, "x" * 40_000, "😀" * 20_000]
    notes = export_formats.write("xlsx", [Column("label")], [[(text,) for text in long]], out, Options())
    cells = [row[0] for row in openpyxl.load_workbook(out).active.iter_rows(min_row=2, values_only=True)]

    assert notes.cut == 2
    assert cells[0] == long[0]
    assert [len(cell.encode("utf-16-le")) // 2 for cell in cells[1:]] == [32_767, 32_767]
    assert all(cell.endswith("…") for cell in cells[1:])


def test_duckdb_finds_types_zone_and_nothing(tmp_path: Path) -> None:
    found = table(tmp_path / "x.parquet", made("parquet"))

    kinds = dict(zip(found.columns, map(str, found.types), strict=True))
    assert kinds == {
        "member_id": "BIGINT", "email": "VARCHAR", "occurred_at": "TIMESTAMP WITH TIME ZONE", "machine": "BOOLEAN", "clicks": "BIGINT",
        "lists": "VARCHAR",
    }  # fmt: skip
    rows = found.project("member_id, email, epoch_ms(occurred_at), machine, clicks, lists").fetchall()
    assert rows[0] == (1, "ada@members.example", int(AT.timestamp() * 1_000), True, 3, "News; Tips")
    assert rows[1] == (2, None, None, None, None, "")
    assert rows[2][:2] == (10**17, "=1+1 続きを読む")
    compressions = duckdb.sql(f"select distinct compression from parquet_metadata('{tmp_path / 'x.parquet'}')").fetchall()
    assert compressions == [("ZSTD",)]


def test_a_streamed_parquet_is_the_same_file(sent: Sent) -> None:
    sent.open(1)
    sent.drain()
    wanted = Wanted("events", "parquet", scope=Scope(sent.campaign_id))
    out = io.BytesIO()
    export.write(sent.ground.database, wanted, out)

    assert b"".join(export.stream(sent.ground.database, wanted)) == out.getvalue()


def test_a_stream_that_nobody_reads_on_ends(sent: Sent) -> None:
    sent.open(1)
    sent.drain()
    pieces = export.stream(sent.ground.database, Wanted("events", "parquet", scope=Scope(sent.campaign_id)))

    assert next(pieces).startswith(b"PAR1")
    pieces.close()  # type: ignore[attr-defined]


def test_csv_is_raw_for_programs_and_made_for_spreadsheets() -> None:
    raw = list(csv.reader(io.StringIO(made("csv").decode())))
    sheet = list(csv.reader(io.StringIO(made("csv", spreadsheet=True).decode("utf-8-sig"))))

    assert raw[0][2] == "occurred_at" and raw[1][2:5] == ["2026-11-24T09:00:01.250Z", "true", "3"]
    assert sheet[0][2] == "occurred_at (UTC)" and sheet[1][2:5] == ["2026-11-24 09:00:01", "true", "3"]
    assert (raw[3][1], sheet[3][1]) == ("=1+1 続きを読む", "'=1+1 続きを読む")
    assert raw[2] == ["2", "", "", "", "", ""]


def test_json_lines_say_ids_as_texts_and_lists_as_lists() -> None:
    first, empty, last = map(json.loads, made("jsonl").decode().splitlines())

    assert first["member_id"] == "1" and first["lists"] == ["News", "Tips"]
    assert (first["machine"], first["clicks"], first["occurred_at"]) == (True, 3, "2026-11-24T09:00:01.250Z")
    assert empty["occurred_at"] is None
    assert last["member_id"] == str(10**17)


@pytest.mark.parametrize("format_", list(FORMATS))
def test_no_rows_are_a_whole_file_too(format_: str, tmp_path: Path) -> None:
    data = made(format_, [])

    if format_ == "xlsx":
        assert openpyxl.load_workbook(io.BytesIO(data)).active.max_row == 1
    elif format_ == "parquet":
        assert table(tmp_path / "x.parquet", data).fetchall() == []
    else:
        assert len(data.splitlines()) == (1 if format_ == "csv" else 0)


@pytest.mark.parametrize("format_", list(FORMATS))
def test_what_reading_raises_comes_out_as_it_is(format_: str) -> None:
    def rows() -> Any:
        yield ROWS
        raise KeyError("taken")

    with pytest.raises(KeyError):
        export_formats.write(format_, COLUMNS, rows(), io.BytesIO(), Options())


class _FullDisk(io.BytesIO):
    def write(self, _data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("format_", list(FORMATS))
def test_a_full_disk_is_told_as_one(format_: str) -> None:
    with pytest.raises(OSError) as told:
        export_formats.write(format_, COLUMNS, [ROWS], _FullDisk(), Options())

    assert told.value.errno == errno.ENOSPC
    del told
    gc.collect()  # Python's own ZipFile tries to end its file once more, and fails again


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_formats.importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(export.MissingExtra, match=r"kairan\[parquet\]"):
        made("parquet")
    assert made("csv")


# ---- sources


@pytest.fixture
def members(sent: Sent) -> Sent:
    now = clock.now()
    with sent.ground.writing() as session:
        session.add(Attribute(name="plan", created_at=now))
        purpose = Purpose(name="Tips", created_at=now)
        session.add(purpose)
        session.flush()
        tips = List(name="Tips", purpose_id=purpose.id, created_at=now)
        session.add(tips)
        session.flush()
        session.add(Subscription(member_id=2, list_id=tips.id, since=now))
        member = session.get_one(Member, 2)
        member.attributes = {"plan": "1.234,5", "unnamed": 1}
        for name in ("gone", "went"):
            suppression.suppress_address(session, sent.ground.secrets.address_key(f"{name}@x.example"), SuppressionReason.STAFF, now=now)
            domains.add(session, f"{name}.example", actor="account:1", now=now)
    return sent


def file_of(sent: Sent, what: str, tmp_path: Path, **more: Any) -> Any:
    out = io.BytesIO()
    export.write(sent.ground.database, Wanted(what, "parquet", **more), out)
    return table(tmp_path / f"{what}.parquet", out.getvalue())


def test_members_have_lists_and_further_fields(members: Sent, tmp_path: Path) -> None:
    found = file_of(members, "members", tmp_path).project("member_id, email, attribute_plan, lists").fetchall()

    assert [row[0] for row in found] == [1, 2, 3, 4]
    assert found[1][1:3] == ("m2@members.example", "1.234,5")
    assert found[1][3].split("; ")[-1] == "Tips" and "Tips" not in found[0][3]


def test_members_of_a_list_alone(members: Sent, tmp_path: Path) -> None:
    with members.ground.reading() as session:
        list_id = session.query(List.id).where(List.name == "Tips").scalar()

    assert file_of(members, "members", tmp_path, scope=Scope(list_id=list_id)).project("member_id").fetchall() == [(2,)]


def test_deliveries_say_what_became_of_the_mail_and_what_was_done(sent: Sent, tmp_path: Path) -> None:
    sent.open(1)
    sent.click(2)
    sent.drain()

    found = file_of(sent, "deliveries", tmp_path).project("number, email, state, opens, clicks").fetchall()

    assert found[:2] == [(1, "m1@members.example", "accepted", 1, 0), (2, "m2@members.example", "accepted", 0, 1)]
    assert len(found) == 4


def test_links_and_campaigns_say_what_the_report_says(sent: Sent, tmp_path: Path) -> None:
    sent.click(1, link=sent.links["image"])
    sent.click(1, link=sent.links["image"])
    sent.drain()

    by_link = dict(file_of(sent, "links", tmp_path).project("number, clicks").fetchall())
    campaign = file_of(sent, "campaigns", tmp_path).project("campaign_id, audience, clicks, unique_clicks").fetchall()

    clicks = sent.report()["clicks"]
    assert by_link[sent.links["image"]] == clicks["people"] and sum(by_link.values()) == clicks["people"]
    assert campaign == [(sent.campaign_id, 4, clicks["people"], clicks["unique"])]


@pytest.mark.parametrize("what", list(SOURCES))
def test_pages_meet_and_columns_are_chosen(members: Sent, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        members.click(number)
    members.drain()
    whole = file_of(members, what, tmp_path)
    rows = whole.fetchall()
    monkeypatch.setattr(export_sources, "PAGE", 1)
    monkeypatch.setattr(export_sources, "CAMPAIGNS_PAGE", 1)
    names = whole.columns[1::-1]

    assert rows and file_of(members, what, tmp_path).fetchall() == rows
    chosen = file_of(members, what, tmp_path, columns=tuple(names))
    assert chosen.columns == names
    assert chosen.fetchall() == [(row[1], row[0]) for row in rows]


@pytest.mark.parametrize("what", list(SOURCES))
def test_a_column_is_named_without_quotes_in_sql(sent: Sent, what: str, tmp_path: Path) -> None:
    found = file_of(sent, what, tmp_path)
    duckdb.sql(f"select {', '.join(found.columns)} from '{tmp_path / what}.parquet'").fetchall()


def test_who_may_see_no_address_gets_none(members: Sent, tmp_path: Path) -> None:
    deliveries = file_of(members, "deliveries", tmp_path, mask=True)
    one = file_of(members, "members", tmp_path, mask=True).project("email, last_name, attribute_plan").fetchall()[1]

    assert deliveries.project("email, reply").fetchall()[0] == ("m•••@members.example", None)
    assert one == ("m•••@members.example", None, None)


def test_a_column_that_is_not_there_is_refused(sent: Sent) -> None:
    with pytest.raises(export.UnknownColumn), sent.ground.reading() as session:
        export.check(session, Wanted("events", columns=("password",)))
