"""`kairan demo`: everything in one process tree, with members, a campaign that was sent, one ready to send, and an inbox."""

import os
import secrets
import shutil
from pathlib import Path

import click

from kairan import clock, database, runtime, settings
from kairan.settings import SettingError
from mailer import demo_mail as inbox
from mailer.accounts import passwords, people
from mailer.ops import demo_samples, roles, valkey
from mailer.ops.supervision import Child, Supervisor, python

ADMINISTRATOR = "admin@example.org"
_SIGN_IN = "sign-in.txt"


def run(*, port: int, fresh: bool) -> None:
    """Runs until Ctrl-C. An earlier demo's data is taken up again unless `fresh`."""
    _environment(port)
    given = settings.load()
    if fresh:
        _remove(given.data_dir)
    lock = roles.hold_data_folder(given)
    try:
        database.migrate(given.database_url)
        (given.data_dir / "demo").touch()
        Supervisor(_children(given, port)).run(lambda: _say_hello(given, port), between=lambda: _fill(given))
    finally:
        valkey.forget(given)
        os.close(lock)


def _environment(port: int) -> None:
    """A demo's own data folder and inbox; never the installation's mail server."""
    os.environ.setdefault("KAIRAN_DATA_DIR", str(Path("var") / "demo"))
    data_dir = Path(os.environ["KAIRAN_DATA_DIR"]).resolve()
    os.environ["KAIRAN_DATA_DIR"] = str(data_dir)
    os.environ.setdefault("KAIRAN_BASE_URL", f"http://127.0.0.1:{port}")
    os.environ["KAIRAN_SMTP_URL"] = f"smtp://127.0.0.1:{_free_port()}"
    os.environ[inbox.FOLDER] = str(data_dir / "inbox")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _remove(folder: Path) -> None:
    """Only what a demo made: a folder of real data is never removed by --fresh. Raises SettingError."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "demo").exists():
            raise SettingError(f"{folder.name} is not a demo's data folder: name another one with KAIRAN_DATA_DIR, or remove it yourself")
        shutil.rmtree(folder)


def _children(given: settings.Settings, port: int) -> list[Child]:
    account = given.smtp
    assert account is not None
    keeper = Child(
        "inbox",
        python("-m", "mailer.demo_mail", str(account.port), os.environ[inbox.FOLDER]),
        stage=0,
        ready=lambda: roles.listens(account.port),
    )
    return roles.everything(given, port=port, lanes=1, extra=[keeper])


def _fill(given: settings.Settings) -> None:
    """Between the servers and the roles: the samples, once."""
    while not valkey.answers(given):
        pass
    ground = runtime.start(given)
    runtime.use(ground)
    try:
        if not (given.data_dir / _SIGN_IN).exists():
            demo_samples.fill(ground)
            _make_administrator(ground, given.data_dir / _SIGN_IN)
    finally:
        runtime.use(None)
        ground.close()


def _make_administrator(ground: runtime.Runtime, note: Path) -> None:
    password = secrets.token_urlsafe(9)
    with ground.writing() as session:
        account = people.add(session, ADMINISTRATOR, "admin", clock.now())
        account.password_hash = passwords.hashed(password)
        account.time_zone = "Asia/Tokyo"
    note.touch(0o600)
    note.write_text(password, "ascii")


def _say_hello(given: settings.Settings, port: int) -> None:
    password = (given.data_dir / _SIGN_IN).read_text("ascii")
    click.echo(
        f"\nKairan is ready at {given.base_url}\n"
        f"  sign in as   {ADMINISTRATOR}\n"
        f"  password     {password}\n"
        f"  the inbox    {given.base_url}/demo/inbox\n"
        "Ctrl-C ends the demo; its data stays in the data folder until `kairan demo --fresh`.\n"
    )
