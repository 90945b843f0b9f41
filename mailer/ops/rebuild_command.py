"""`kairan rebuild-reports`: what is kept of fetches, judged by the rules of today, with a bar."""

import click

from kairan.runtime import Runtime
from mailer.reports import summary
from tracking import rebuild


def run(ground: Runtime, campaign_id: int | None) -> None:
    """All campaigns, or one. Ends with what became of them; killed anywhere it may be begun again."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with ground.reading() as session:
        ids = rebuild.campaigns(session) if campaign_id is None else [campaign_id]
        timed = rebuild.time_has_changed(session)
        fetches = {each: summary.fetches(session, each) for each in ids}
    total = rebuild.Outcome()
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("judging", total=sum(fetches.values()))
        for each in ids:
            done = rebuild.Outcome()
            for done in rebuild.rebuild(ground.database, each, timed=timed):
                bar.update(shown, completed=total.events + done.events)
            total = rebuild.Outcome(total.events + done.events, total.changed + done.changed, total.left + done.left)
    if campaign_id is None:
        with ground.writing() as session:
            rebuild.all_judged(session)
    click.echo(f"campaigns: {len(ids)}\nevents: {total.events}\nchanged: {total.changed}\nleft: {total.left}")
    if total.left:
        click.echo(
            "left: their deliveries were read in months that retention has dropped, or just now: counters stay as they were", err=True
        )
