"""The command says in a sentence what is wrong and what to write; what scripts read stands alone on its line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kairan import clock, database, runtime
from kairan.models.campaigns import CampaignStatus
from mailer.audience import lists
from mailer.cli import main
from tests.support import ground as make

Kairan = Callable[..., Result]


@pytest.fixture
def kairan(tmp_path: Path, valkey: str, monkeypatch: pytest.MonkeyPatch) -> Kairan:
    """Runs the command on an installation of this test's own."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATA_DIR": str(tmp_path / "var"), "REDIS_URL": valkey, "SECRET_KEY": make.SECRET}.items():
        monkeypatch.setenv(f"KAIRAN_{name}", value)

    def run(*arguments: str) -> Result:
        try:
            return CliRunner().invoke(main, list(arguments))
        finally:
            if runtime._current is not None:
                runtime._current.close()
            runtime.use(None)

    return run


def test_a_database_that_was_never_migrated_is_told(kairan: Kairan) -> None:
    done = kairan("token", "add", "x", "--role", "admin")

    assert done.exit_code == 1
    assert "kairan migrate" in done.output


def test_a_token_and_a_password_link_stand_alone_on_their_line(kairan: Kairan) -> None:
    assert kairan("migrate").output == f"schema {database.newest_schema()}\n"

    assert re.fullmatch(r"\S{40,}\n", kairan("token", "add", "tests", "--role", "admin").output)
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/password/\S+\n", kairan("user", "add", "a@example.org", "--role", "marketer").output)
    assert "has an account already" in kairan("user", "add", "A@example.org", "--role", "admin").output


def test_a_wrong_setting_stops_with_what_to_write(kairan: Kairan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIRAN_PROXY_HOPS", "many")

    done = kairan("config")

    assert done.exit_code == 1
    assert "0 to 10" in done.output


def test_the_effective_settings_hide_the_secret(kairan: Kairan) -> None:
    shown = kairan("config").output

    assert "KAIRAN_SECRET_KEY=••••••••" in shown
    assert make.SECRET not in shown


def test_members_come_in_from_a_file_with_their_consent(kairan: Kairan, tmp_path: Path) -> None:
    kairan("migrate")
    file = tmp_path / "members.csv"
    file.write_text("email,first_name\na@example.org,Ada\nnot an address,X\n", "utf-8")
    assert "there is no list called News" in kairan("import", str(file), "--list", "News").output
    opened = database.Database(f"sqlite:///{tmp_path / 'var' / 'kairan.sqlite'}")
    with opened.writing() as session:
        lists.create(session, "News", "Our newsletter", now=clock.now())
    opened.dispose()

    done = kairan("import", str(file), "--list", "News", "--consent", "The form: I want news")

    assert "imported 1, merged 0, rejected 1" in done.output


def test_a_campaign_with_an_error_is_not_sent_and_the_error_is_told(kairan: Kairan, tmp_path: Path) -> None:
    kairan("migrate")
    opened = database.Database(f"sqlite:///{tmp_path / 'var' / 'kairan.sqlite'}")
    with opened.writing() as session:
        campaign_id = make.make_campaign(session, make.make_list(session)).id

    done = kairan("send", str(campaign_id))

    assert done.exit_code == 1
    assert "no mail server to send through" in done.output
    with opened.reading() as session:
        from kairan.models.campaigns import Campaign

        assert session.get_one(Campaign, campaign_id).status == CampaignStatus.DRAFT
    opened.dispose()
    assert "cannot become" in kairan("pause", str(campaign_id)).output


def test_the_doctor_says_what_is_wrong(kairan: Kairan) -> None:
    done = kairan("doctor")

    assert done.exit_code == 1
    assert "WRONG smtp: nothing can be sent: set KAIRAN_SMTP_URL" in done.output


def test_reports_are_judged_anew_on_command(kairan: Kairan, tmp_path: Path) -> None:
    kairan("migrate")

    assert kairan("rebuild-reports").stdout == "campaigns: 0\nevents: 0\nchanged: 0\nleft: 0\n"
    assert "0 campaigns are called x" in kairan("rebuild-reports", "--campaign", "x").output
