"""A setting that cannot be right stops the start with a sentence that says what to write."""

from pathlib import Path

import pytest

from kairan import secrets, settings
from kairan.settings import SettingError


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KAIRAN_SMTP_URL", "smtp://user:pw@mail.example.org", "smtp+starttls://"),
        ("KAIRAN_SMTP_URL", "mail.example.org", "must look like"),
        ("KAIRAN_SMTP_URL", "smtp://127.0.0.1:25?connections=0", "from 1 to 200"),
        ("KAIRAN_BASE_URL", "http://mail.example.org", "https://mail.example.org"),
        ("KAIRAN_BASE_URL", "https://mail.example.org/path", "without a path"),
        ("KAIRAN_DATABASE_URL", "postgresql://x/y", "postgresql+psycopg://"),
        ("KAIRAN_REDIS_URL", "127.0.0.1:6379", "redis://"),
        ("KAIRAN_PROXY_HOPS", "-1", "0 to 10"),
        ("KAIRAN_SECRET_KEY", "short", "at least 32"),
    ],
)
def test_a_wrong_value_says_what_to_write(tmp_path: Path, name: str, value: str, says: str) -> None:
    with pytest.raises(SettingError, match=says.replace("+", r"\+")):
        settings.load({name: value}, tmp_path)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "kairan.toml").write_text('proxy_hops = 1\nbase_url = "https://a.example"\n', "utf-8")

    given = settings.load({"KAIRAN_PROXY_HOPS": "2"}, tmp_path)

    assert given.proxy_hops == 2
    assert given.base_url == "https://a.example"


def test_a_misspelt_name_in_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "kairan.toml").write_text("proxy_hop = 1\n", "utf-8")

    with pytest.raises(SettingError, match="proxy_hop"):
        settings.load({}, tmp_path)


def test_shown_settings_hold_no_secret(tmp_path: Path) -> None:
    environment = {
        "KAIRAN_SECRET_KEY": "s3cr3t" * 8,
        "KAIRAN_SMTP_URL": "smtps://user:p4ss@mail.example.org",
        "KAIRAN_DATABASE_URL": "postgresql+psycopg://user:p4ss@db/kairan",
    }

    shown = "".join(settings.load(environment, tmp_path).masked().values()) + repr(settings.load(environment, tmp_path))

    assert "s3cr3t" not in shown
    assert "p4ss" not in "".join(settings.load(environment, tmp_path).masked().values())


def test_the_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    given = settings.load({"KAIRAN_DATA_DIR": str(tmp_path / "var")}, tmp_path)

    first, second = secrets.load(given), secrets.load(given)

    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "var" / "secret.key").stat().st_mode & 0o777 == 0o600


def test_postgresql_without_a_secret_does_not_start(tmp_path: Path) -> None:
    given = settings.load({"KAIRAN_DATA_DIR": str(tmp_path), "KAIRAN_DATABASE_URL": "postgresql+psycopg://db/k"}, tmp_path)

    with pytest.raises(SettingError, match="KAIRAN_SECRET_KEY must be set"):
        secrets.load(given)
