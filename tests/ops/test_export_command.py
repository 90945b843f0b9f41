"""`kairan export` writes a whole file or none, raw for programs, and asks why personal data leaves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest
from sqlalchemy import select

from kairan import database
from kairan.database import Database
from kairan.models.audit import AuditRow, Provision
from mailer.reports import export_sources
from tests.ops.test_cli import Kairan, kairan
from tests.support import ground as make

__all__ = ["kairan"]
WHY = ("--purpose", "Evaluation", "--recipient", "Us")


@pytest.fixture
def opened(kairan: Kairan, tmp_path: Path) -> Iterator[Database]:
    """Three members and a campaign."""
    kairan("migrate")
    found = database.Database(f"sqlite:///{tmp_path / 'var' / 'kairan.sqlite'}")
    with found.writing() as session:
        news = make.make_list(session)
        make.make_members(session, 3, news)
        make.make_campaign(session, news)
    yield found
    found.dispose()


def test_members_are_written_for_a_reason_that_is_kept(kairan: Kairan, opened: Database, tmp_path: Path) -> None:
    refused = kairan("export", "members", "--output", "m.csv")
    assert refused.exit_code == 1 and "--purpose and --recipient" in refused.output

    assert kairan("export", "members", "--output", "m.csv", "--columns", "email,member_id", *WHY).exit_code == 0

    assert (tmp_path / "m.csv").read_text("utf-8").splitlines()[:2] == ["email,member_id", "m1@members.example,1"]
    assert (tmp_path / "m.csv").stat().st_mode & 0o777 == 0o600
    with opened.reading() as session:
        assert [(row.actor, row.what, row.purpose) for row in session.scalars(select(Provision))] == [("system", "members", "Evaluation")]
        assert session.scalars(select(AuditRow.action).where(AuditRow.action.startswith("export"))).all() == ["export.members"]


def test_figures_need_no_reason(kairan: Kairan, opened: Database, tmp_path: Path) -> None:
    assert kairan("export", "campaigns", "--format", "parquet", "--output", "c.parquet").exit_code == 0
    assert kairan("report", "1", "--format", "xlsx", "--output", "r.xlsx").exit_code == 0

    assert duckdb.sql(f"select campaign_id, status from '{tmp_path / 'c.parquet'}'").fetchall() == [(1, "draft")]
    assert openpyxl.load_workbook(tmp_path / "r.xlsx").active["A2"].value == 1
    assert "needs --output" in kairan("report", "1", "--format", "parquet").output


def test_text_goes_to_a_pipe_too(kairan: Kairan, opened: Database) -> None:
    assert kairan("export", "campaigns", "--output", "-", "--columns", "campaign_id,status").stdout == "campaign_id,status\n1,draft\n"
    assert "not for a pipe" in kairan("export", "campaigns", "--format", "xlsx", "--output", "-").output


@pytest.mark.parametrize("wrong", [("--columns", "password"), ("--list", "None"), ("--campaign", "None"), ("--output", "there/is/none")])
def test_what_is_not_there_is_told_in_a_sentence(kairan: Kairan, opened: Database, wrong: tuple[str, str]) -> None:
    done = kairan("export", "members", "--output", "m.csv", *wrong, *WHY)

    assert done.exit_code == 1 and done.output.startswith("Error: ")


@pytest.mark.parametrize("format_", ["csv", "xlsx", "parquet", "jsonl"])
def test_one_that_is_broken_off_leaves_nothing(
    kairan: Kairan, opened: Database, tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_sources, "PAGE", 1)
    lists_of = export_sources._lists_of
    seen: list[Any] = []

    def broken(*arguments: Any) -> Any:
        seen.append(arguments)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return lists_of(*arguments)

    monkeypatch.setattr(export_sources, "_lists_of", broken)
    (tmp_path / "m").write_text("what was there before")

    assert kairan("export", "members", "--format", format_, "--output", "m", *WHY).exit_code == 1

    assert (tmp_path / "m").read_text() == "what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "var"]
