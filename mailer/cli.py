"""The `kairan` command. Each command is a few lines: read, call, print; what costs time to import is imported by who needs it."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from kairan import clock, logs, settings
from kairan.models.accounts import Role
from kairan.settings import DEFAULT_PORT, SettingError

if TYPE_CHECKING:
    from kairan.runtime import Runtime

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    """Says what is wrong in a sentence instead of a traceback, for what a person can mend."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kairan")
def main() -> None:
    """Kairan: HTML member mail that keeps its promises to the member."""


def _role(function: F) -> F:
    """A long-running role: logs to stderr."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        logs.start(function.__name__)
        return function(*arguments, **options)

    return cast(F, run)


def _ground() -> "Runtime":
    from kairan import database, runtime

    try:
        return runtime.runtime()
    except (database.SchemaTooOld, database.SchemaTooNew) as error:
        raise click.ClickException(str(error)) from error


# ---- roles ----


@main.command()
@click.option("--port", default=DEFAULT_PORT, show_default=True)
@click.option("--fresh", is_flag=True, help="Begin with new samples: what an earlier demo left is removed.")
@_role
def demo(port: int, fresh: bool) -> None:
    """Everything in one process tree, with sample members and an inbox at /demo/inbox."""
    from mailer.ops import demo as show

    show.run(port=port, fresh=fresh)


@main.command()
@click.option("--port", default=DEFAULT_PORT, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Sending processes.")
@_role
def up(port: int, workers: int) -> None:
    """Web, workers, scheduler and embedded Valkey together; what dies is started again."""
    from mailer.ops import roles

    os.environ.setdefault("KAIRAN_BASE_URL", f"http://127.0.0.1:{port}")
    roles.run_up(port=port, lanes=workers, started=lambda: _say_hello(port))


def _say_hello(port: int) -> None:
    from mailer.ops.first_run import setup_address

    address = setup_address()
    click.echo(f"Kairan is up: {settings.load().base_url} (port {port})")
    if address:
        click.echo(f"Make the administrator: {address}")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=DEFAULT_PORT, show_default=True)
@click.option("--tracking-only", is_flag=True, help="Only what members and their mail programs reach.")
@_role
def web(host: str, port: int, tracking_only: bool) -> None:
    """The web role."""
    from mailer import server

    os.environ.setdefault("KAIRAN_BASE_URL", f"http://127.0.0.1:{port}")
    settings.load()
    server.serve(host, port, tracking_only=tracking_only)


@main.command()
@click.option("-n", "lanes", default=1, show_default=True, help="Sending processes; one for mail and one for other work come with them.")
@_role
def worker(lanes: int) -> None:
    """The worker role of this machine."""
    from mailer.ops import roles

    settings.load()
    roles.run_workers(lanes)


@main.command()
@_role
def scheduler() -> None:
    """The scheduler role; of several one works, the others wait."""
    from mailer.ops import roles

    roles.run_scheduler()


@main.command()
@_role
def valkey() -> None:
    """The embedded Valkey alone, in the foreground."""
    from mailer.ops import valkey as embedded

    embedded.serve(settings.load())


# ---- set-up ----


@main.command()
def migrate() -> None:
    """Brings the database schema to the newest version."""
    from kairan import database

    given = settings.load()
    database.migrate(given.database_url)
    click.echo(f"schema {database.newest_schema()}")


@main.command()
def config() -> None:
    """The effective settings, secrets masked."""
    for name, value in settings.load().masked().items():
        click.echo(f"{name}={value}")


@main.group()
def user() -> None:
    """People who sign in."""


@user.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
def user_add(email: str, role: str) -> None:
    """Prints the password link, alone on its line."""
    from kairan import addresses
    from mailer.accounts import people

    ground = _ground()
    try:
        addresses.normal(email)
        with ground.writing() as session:
            account = people.add(session, email, role, clock.now())
            token = people.password_link(session, account, clock.now())
    except addresses.AddressError as error:
        raise click.ClickException(f"{email} is not an address: {error}") from error
    except people.AccountExists as error:
        raise click.ClickException(f"{email} has an account already") from error
    click.echo(f"{ground.settings.base_url}/password/{token}")


@main.group()
def token() -> None:
    """Programs that call the API."""


@token.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--purpose", help="Default purpose of exports of personal data.")
@click.option("--recipient", help="Default recipient of exports of personal data.")
def token_add(name: str, role: str, purpose: str | None, recipient: str | None) -> None:
    """Prints the token once, alone on its line."""
    from mailer.accounts import api_tokens

    with _ground().writing() as session:
        secret = api_tokens.make(session, name, role, clock.now(), purpose=purpose, recipient=recipient)
    click.echo(secret)


@main.command()
def doctor() -> None:
    """Checks settings, database, Redis, SMTP, DNS and clocks; says what to do. Exit 1 if something is wrong."""
    from mailer.ops import doctor as checks

    findings = list(checks.examine())
    for finding in findings:
        click.echo(f"{'ok  ' if finding.good else 'WRONG'} {finding.what}: {finding.says}")
    sys.exit(0 if all(finding.good for finding in findings) else 1)


# ---- campaigns ----


def _campaign(ground: "Runtime", name_or_id: str) -> int:
    """A campaign by id or by its exact name. Raises ClickException."""
    from sqlalchemy import select

    from kairan.models.campaigns import Campaign

    with ground.reading() as session:
        by_name = Campaign.name == name_or_id
        wanted = by_name | (Campaign.id == int(name_or_id)) if name_or_id.isdigit() else by_name
        found = list(session.execute(select(Campaign.id).where(wanted).order_by(Campaign.id)).scalars())
    if len(found) != 1:
        raise click.ClickException(f"{len(found)} campaigns are called {name_or_id}: give the number of one")
    return found[0]


def _move(function: Callable[["Runtime", int], None], campaign: str, done: str) -> None:
    from mailer.campaigns.lifecycle import MoveRefused

    ground = _ground()
    campaign_id = _campaign(ground, campaign)
    try:
        function(ground, campaign_id)
    except MoveRefused as refused:
        raise click.ClickException(str(refused)) from refused
    click.echo(f"campaign {campaign_id} {done}")


@main.command()
@click.argument("campaign")
def send(campaign: str) -> None:
    """Checks the campaign and sends it now; an error of the check stops it."""
    from mailer.campaigns import sending

    ground = _ground()
    campaign_id = _campaign(ground, campaign)
    findings = sending.check(ground, campaign_id)
    for finding in findings:
        click.echo(f"{finding.level}: {finding.message}", err=True)
    if sending.has_errors(findings):
        raise click.ClickException("nothing was sent")
    _move(lambda ground, campaign_id: sending.send_now(ground, campaign_id), campaign, "is being sent")


@main.command()
@click.argument("campaign")
def pause(campaign: str) -> None:
    """Stops a campaign that is going out; when this returns, no mail of it starts any more."""
    from mailer.campaigns import jobs

    _move(jobs.pause, campaign, "is paused")


@main.command()
@click.argument("campaign")
def resume(campaign: str) -> None:
    """Goes on with a paused campaign."""
    from mailer.campaigns import jobs

    _move(jobs.resume, campaign, "goes on")


@main.command()
@click.argument("campaign")
@click.option("--format", "kind", type=click.Choice(["text", "json", "csv", "xlsx", "parquet"]), default="text", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="For xlsx and parquet: the file to write.")
def report(campaign: str, kind: str, output: Path | None) -> None:
    """The figures of a campaign."""
    from mailer.reports import summary

    ground = _ground()
    campaign_id = _campaign(ground, campaign)
    if kind in ("xlsx", "parquet"):
        _report_file(ground, campaign_id, kind, output)
        return
    with ground.reading() as session:
        figures = summary.report(session, campaign_id)
    if kind == "json":
        click.echo(json.dumps(figures, ensure_ascii=False, indent=2, default=str))
        return
    for name, value in _flat(figures):
        click.echo(f"{name},{value}" if kind == "csv" else f"{name}: {value}")


def _report_file(ground: "Runtime", campaign_id: int, kind: str, output: Path | None) -> None:
    from mailer.ops import export_command
    from mailer.reports.export import Scope, Wanted

    if output is None:
        raise click.UsageError(f"--format {kind} needs --output FILE")
    export_command.run(ground, Wanted("campaigns", kind, scope=Scope(campaign_id)), output)


@main.command()
@click.argument("what", type=click.Choice(["members", "deliveries", "events", "links", "campaigns", "suppressions"]))
@click.option("--format", "kind", type=click.Choice(["csv", "xlsx", "parquet", "jsonl"]), default="csv", show_default=True)
@click.option(
    "--output", required=True, type=click.Path(path_type=Path, allow_dash=True), help="The file to write; - for csv and jsonl to a pipe."
)
@click.option("--columns", default="", help="Names with commas between, in the order wanted; without: all.")
@click.option("--campaign", help="Only of this campaign, by number or exact name.")
@click.option("--list", "list_name", help="Only members of this list.")
@click.option("--type", "type_", type=click.Choice(["open", "click"]), help="Only these events.")
@click.option("--spreadsheet", is_flag=True, help="CSV that Excel opens as it should and that runs no formula.")
@click.option("--purpose", default="", help="What personal data is for; goes into the register of provisions.")
@click.option("--recipient", default="", help="Who gets the personal data.")
def export(
    what: str, kind: str, output: Path, columns: str, campaign: str | None, list_name: str | None, type_: str | None,
    spreadsheet: bool, purpose: str, recipient: str,
) -> None:  # fmt: skip
    """Writes a file of members, deliveries, events, links or campaigns, showing progress. Times are in UTC."""
    from mailer.ops import export_command
    from mailer.reports.export import Scope, Wanted

    ground = _ground()
    scope = Scope(_campaign(ground, campaign) if campaign else None, export_command.list_id(ground, list_name), type_)
    names = tuple(name for name in columns.split(",") if name)
    export_command.run(ground, Wanted(what, kind, names, scope, spreadsheet), output, purpose, recipient)


@main.command("rebuild-reports")
@click.option("--campaign", help="Only this one, by number or exact name.")
def rebuild_reports(campaign: str | None) -> None:
    """Judges what is kept of opens and clicks by the rules of today, and mends every counter they went into."""
    from mailer.ops import rebuild_command

    ground = _ground()
    rebuild_command.run(ground, _campaign(ground, campaign) if campaign else None)


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value


@main.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "list_name", required=True, help="The list's name; it must exist.")
@click.option("--consent", help="Source and wording that the rows agreed to; without it they are imported as not consented.")
def import_(file: Path, list_name: str, consent: str | None) -> None:
    """Imports members from a CSV file with a header line, showing progress."""
    from mailer.ops import import_command

    import_command.run(_ground(), file, list_name, consent)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("what", type=click.Choice(["send", "sign", "track", "drain", "report"]))
@click.option("--database-url", help="Measure on this database instead of SQLite in a temporary folder.")
@click.option("--recipients", "--count", "count", default=20_000, show_default=True)
@click.option("--lanes", default=2, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="The median round is told.")
@click.option("--events", default=1_000_000, show_default=True, help="Of the campaign whose report is looked at.")
@click.option("--profile", is_flag=True, help="Also where the microseconds of a mail go.")
def bench(what: str, database_url: str | None, count: int, lanes: int, rounds: int, events: int, profile: bool) -> None:
    """Measures, with the control beside it in the same run; the last line is the ratio."""
    from mailer import app
    from mailer.bench import drain, sign, track
    from mailer.bench import report as bench_report
    from mailer.bench import send as bench_send

    measures: dict[str, Callable[[], Iterator[tuple[str, object]]]] = {
        "send": lambda: bench_send.measure(database_url, count=count, lanes=lanes, rounds=rounds, profile=profile),
        "sign": sign.measure,
        "drain": lambda: drain.measure(database_url, count=count, rounds=rounds),
        "report": lambda: bench_report.measure(database_url, app.create_admin_app, events=events),
        "track": lambda: track.measure(database_url, rounds=rounds),
    }
    for name, value in measures[what]():
        click.echo(f"{name}: {value}")


if __name__ == "__main__":
    main()
