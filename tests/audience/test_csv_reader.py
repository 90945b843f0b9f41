"""Whatever bytes a file holds: nothing breaks, every row is counted once, and reading goes on where it stopped."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kairan.models.jobs import JobState
from mailer.audience import csv_import, csv_reader, jobs
from mailer.audience.csv_reader import Records
from tests.audience.conftest import Audience
from tests.support.ground import make_list, make_settings, running

CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["a@x.example", "b@x.example", "ａ@x.example", '"', '""', "\n", "\r", "\x00", "x" * 11_000, "\ufeff", ",", ";"]),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=12)
NASTY = st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"a@x.example", b"x", b"\xff", b"\x00", b'""', "あ".encode()]), max_size=60)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(data=NASTY.map(b"".join) | st.binary(max_size=200), size=st.integers(1, 64))
def test_every_byte_is_read_once_however_it_arrives(data: bytes, size: int):
    whole = Records(iter([data]), ",")
    cut_up = Records(iter(cut(data, size)), ",")

    assert list(whole) == list(cut_up)
    assert whole.offset == cut_up.offset == len(data)


@given(data=NASTY.map(b"".join), stop=st.integers(0, 20))
def test_reading_goes_on_at_any_record(data: bytes, stop: int):
    everything = list(Records(iter([data]), ","))
    first = Records(iter([data]), ",")
    begun = [record for _, record in zip(range(stop), first, strict=False)]

    rest = Records(iter([data[first.offset :]]), ",", offset=first.offset, line=first.line)

    assert begun + list(rest) == everything


@given(rows=st.lists(st.lists(TEXTS, min_size=2, max_size=4), min_size=1, max_size=9))
def test_what_a_csv_writer_writes_is_read_back(rows: list[list[str]]):
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)

    found = [record.fields for record in Records(iter([out.getvalue().encode()]), ",")]

    assert found == rows


def test_ten_megabytes_without_a_line_break_are_not_kept(monkeypatch: pytest.MonkeyPatch):
    pieces = (b"x" * 65_536 if number < 160 else b"\na@x.example,b\n" for number in range(161))
    records = Records(pieces, ",")

    first, second = list(records)

    assert (first.line, first.problem) == (1, "the row is too long")
    assert (second.line, second.fields) == (2, ["a@x.example", "b"])
    assert len(records._buffer) <= csv_reader.LINE_MAX


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path):
    folder = tmp_path_factory.mktemp("csv")
    path = folder / "kairan.sqlite"
    path.write_bytes(_migrated_sqlite.read_bytes())
    with running(make_settings(f"sqlite:///{path}", folder)) as ground:
        with ground.writing() as session:
            list_id = make_list(session).id
        yield Audience(ground, list_id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, raw=st.binary(max_size=30), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONE]))
def test_imported_merged_and_refused_rows_add_up(audience: Audience, rows: list[list[str]], raw: bytes, quoting: int):
    lines = [",".join(row) if quoting == csv.QUOTE_NONE else ",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    data = b"email,first_name,size\n" + "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n" + raw
    before = len(audience.members())

    job = audience.start()
    csv_import.store_upload(audience.ground, job, cut(data, 50))
    jobs.run_import(job.id)

    ended = audience.job(job.id)
    assert ended.state in (JobState.DONE, JobState.FAILED)
    assert ended.state == JobState.DONE or ended.failure == "The file has no row below its first line."
    assert ended.result.get("imported", 0) + ended.result.get("merged", 0) + ended.errors == ended.done
    assert len(audience.members()) - before == ended.result.get("imported", 0)
    refused = list(csv.reader(io.StringIO(audience.rejected(), newline="")))
    assert len(refused) == (ended.errors + 1 if ended.errors else 0)
