"""Real servers for the tests: databases, Valkey, an SMTP inbox, a browser. Each starts when the first test of a process asks for it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import chromium, compiled_once, postgres, smtp
from tests.support import valkey as valkey_support
from tests.support.chromium import Violation

DATABASES = ("sqlite", "postgresql")
compiled_once.install()


_ONCE = (
    "test_main_job.py", "test_rebuild.py", "test_moving.py", "test_after_leaving.py", "test_unsubscribe_page.py",
    "test_preferences_page.py", "test_alerts.py", "test_restored.py",
)  # fmt: skip
"""files whose statements others run on PostgreSQL; in the quick suite they run on SQLite"""
_LOOKED_AT = ("test_browser.py", "test_public_archive.py", "test_versions_pages.py", "test_segments_page.py")
"""where the quick suite looks at pages by axe and width: test_browser opens every page, the others those that were made last"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test is marked by what it uses: `-m "not browser"` needs no Chromium, `-m "not postgres"` no PostgreSQL."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "chromium_path" in names:
            item.add_marker("browser")
        if "postgres_server" in names or "[postgresql" in item.name or "-postgresql" in item.name:
            item.add_marker("postgres")
        if _belongs_to_test_all(item):
            item.add_marker("slow")


def _belongs_to_test_all(item: pytest.Item) -> bool:
    """The quick suite has six minutes: pages, API, reports and webhooks on PostgreSQL too (their rules run on both below), the looks at
    every page in more than one of four widths, themes and languages and at each state of each area (three minutes), and the README's
    pictures are for `make test-all`. So is what starts a whole installation a second time."""
    folder, file = item.path.parent.name, item.path.name
    if "postgresql" in item.name and (folder in ("web", "api", "reports", "webhooks") or file in _ONCE):
        return True
    if "[with-script" in item.name or item.path.name == "test_screenshots.py":
        return True
    if file == "test_rules.py" and "postgresql" in item.name:
        return "any_rule" not in item.name
    return "open_to_everybody" in item.name and not (file in _LOOKED_AT and "390-light-ja" in item.name)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine it runs on."""
    for name in [name for name in os.environ if name.startswith("KAIRAN_")]:
        monkeypatch.delenv(name)


# ---- databases ----


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: postgres.PostgresServer) -> str:
    """The name of the template that every test's database is copied from."""
    from kairan.database import migrate

    url = postgres_server.create()
    migrate(url)
    return postgres.name_of(url)


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kairan.database import migrate

    path = tmp_path_factory.mktemp("template") / "kairan.sqlite"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of this test's own, migrated and without rows; the test runs once on each kind.

    For one kind only: `@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`.
    """
    if request.param == "sqlite":
        path = tmp_path / "kairan.sqlite"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create(request.getfixturevalue("_migrated_postgres"))
    yield url
    server.drop(url)


@pytest.fixture(params=DATABASES)
def unmigrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a single table: what `kairan migrate` meets the first time."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'unmigrated.sqlite'}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    yield url
    server.drop(url)


# ---- Valkey ----


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    with valkey_support.running() as url:
        yield url


@pytest.fixture
def valkey(valkey_server: str) -> str:
    """The URL (unix:///…) of an empty Valkey."""
    from redis import Redis

    with Redis.from_url(valkey_server) as client:
        client.flushall()
    return valkey_server


# ---- mail ----


@pytest.fixture
def smtp_sink() -> Iterator[smtp.SmtpSink]:
    with smtp.running() as sink:
        yield sink


# ---- browser ----


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    try:
        return chromium.find()
    except chromium.NoChromium as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Any]:
    """A module's own, not the session's: while Playwright runs its loop in this thread, `asyncio.run` in a test would fail."""
    with chromium.running(chromium_path) as running:
        yield running


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages in contexts of their own: `new_page(locale="ja-JP", color_scheme="dark", viewport={"width": 390, "height": 844})`.

    The test fails if any of them breaks its content policy, throws, or asks another host than 127.0.0.1 for anything.
    """
    watched = []

    def make(**options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)  # jobs run in processes of their own, and a busy machine starts one in ten seconds
        watched.append((context, chromium.Watch(context)))
        return context.new_page()

    yield make
    for context, _ in watched:
        context.close()
    faults = [fault for _, watch in watched for fault in watch.faults]
    if faults:
        pytest.fail("\n".join(dict.fromkeys(faults)), pytrace=False)


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """One page in English, light, 1440 x 900."""
    return new_page(locale="en-GB", viewport={"width": 1440, "height": 900})


@pytest.fixture
def axe() -> Callable[..., list[Violation]]:
    """`axe(page) == []`: nothing in the page keeps people out (WCAG 2.2 AA)."""
    return chromium.axe
