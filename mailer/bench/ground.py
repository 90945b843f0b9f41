"""What a benchmark stands on: a temporary installation with a Valkey of its own, on SQLite or on an empty PostgreSQL database."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kairan import database, runtime, secrets, settings
from mailer.ops import valkey
from mailer.ops.supervision import die_with_parent, python


def settings_for(folder: Path, url: str | None) -> settings.Settings:
    environment = {"KAIRAN_DATA_DIR": str(folder), "KAIRAN_SECRET_KEY": "for benchmarks only, never for mail: 0123456789"}
    return settings.load({**environment, **({"KAIRAN_DATABASE_URL": url} if url else {})}, folder)


def environment(given: settings.Settings) -> dict[str, str]:
    """What a process of ours needs to find it."""
    return {
        "KAIRAN_DATA_DIR": str(given.data_dir),
        "KAIRAN_DATABASE_URL": given.database_url,
        "KAIRAN_SMTP_URL": given.smtp_url,
        "KAIRAN_SECRET_KEY": given.secret_key,
    }


@contextmanager
def redis(given: settings.Settings) -> Iterator[None]:
    """The embedded Valkey, until the end."""
    process = subprocess.Popen(
        python("-m", "mailer.cli", "valkey"), env={**os.environ, "KAIRAN_DATA_DIR": str(given.data_dir)}, preexec_fn=die_with_parent
    )
    try:
        while not valkey.answers(given):
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()


def runtime_for(given: settings.Settings) -> runtime.Runtime:
    """A runtime on the migrated database, which remembers its secret."""
    keys = secrets.load(given)
    ground = runtime.Runtime(given, keys, database.Database(given.database_url))
    with ground.writing() as session:
        database.check_secret(session, keys.fingerprint)
    return ground


@contextmanager
def running(folder: Path, url: str | None) -> Iterator[runtime.Runtime]:
    given = settings_for(folder, url)
    database.migrate(given.database_url)
    with redis(given):
        ground = runtime_for(given)
        try:
            yield ground
        finally:
            ground.close()
