"""`kairan bench report`: the pages of a campaign's report over millions of events, beside the raw query that they save.

What is timed is the database's time of a page (all its statements together) and the whole page as the application answers it. The first
look of a process counts the deliveries' states, which is told apart: a process does it once a campaign.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text, update

from kairan import clock, runtime
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk
from mailer.accounts import people, sessions
from mailer.bench import ground as bench_ground
from mailer.bench import read_campaign, sample
from mailer.reports import final_counts, tallies

if TYPE_CHECKING:
    from flask import Flask

EVENTS = 1_000_000
LOOKS = 30
CHUNK = 2_000
PAGES = {"overview": "", "by_day": "?span=days", "links": "/links", "technical": "/technical", "recipients": "/recipients-report"}
_RAW = "SELECT kind, machine, count(*), count(DISTINCT number) FROM events WHERE campaign_id = :campaign GROUP BY kind, machine"


def measure(url: str | None, make_app: Callable[[runtime.Runtime], "Flask"], *, events: int = EVENTS) -> Iterator[tuple[str, object]]:
    """Pairs to print, the ratio last: the overview's time in the database over that of the raw query."""
    with tempfile.TemporaryDirectory(prefix="kairan-bench-") as name, bench_ground.running(Path(name), url) as ground:
        yield "machine", f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        yield "database", "sqlite" if ground.settings.is_sqlite else "postgresql"
        campaign_id = _filled(ground, events)
        yield "events", events
        yield "deliveries", max(1, events // read_campaign.FETCHES_A_DELIVERY)
        yield "control", "count by kind, machine and member over the events"
        client = _signed_in(ground, make_app(ground))
        pages = {title: f"/campaigns/{campaign_id}{path}" for title, path in PAGES.items()}
        tallies.forget_all()
        yield "first_look_ms", round(_timed(ground, client, pages["overview"])[1], 1)
        overview = 0.0
        for title, path in pages.items():
            looks = [_timed(ground, client, path) for _ in range(LOOKS)]
            queries, whole = sorted(look[0] for look in looks), sorted(look[1] for look in looks)
            overview = overview or queries[len(queries) // 2]
            yield f"{title}_query_ms", round(queries[len(queries) // 2], 1)
            yield f"{title}_ms", round(whole[len(whole) // 2], 1)
            yield f"{title}_worst_ms", round(whole[-1], 1)
        control = min(_raw(ground, campaign_id) for _ in range(3))
        yield "control_ms", round(control, 1)
        yield "ratio", f"{overview / control:.4f}"


def _filled(ground: runtime.Runtime, events: int) -> int:
    now = clock.now()
    count = max(1, events // read_campaign.FETCHES_A_DELIVERY)
    with ground.writing() as session:
        list_id = sample.audience(session, ground.secrets, count, now)
    with ground.writing() as session:
        campaign_id = read_campaign.campaign(session, list_id, now)
        began = read_campaign.begun(now)
        values = {"status": CampaignStatus.SENT, "started_at": began, "snapshot_at": began, "ended_at": now, "audience": count}
        session.execute(update(Campaign).values(**values))
        session.add_all(
            Chunk(campaign_id=campaign_id, number=at, first=at * CHUNK + 1, last=(at + 1) * CHUNK) for at in range(-(-count // CHUNK))
        )
        read_campaign.fill(session, campaign_id, events, began)
        with_before(session, campaign_id, began)
    for number in (campaign_id, *range(campaign_id + 1, campaign_id + 6)):  # as the housekeeping does once a minute
        with ground.writing() as session:
            if states := final_counts.counted(session, number):
                final_counts.keep(session, number, states)
    return campaign_id


def with_before(session: Any, campaign_id: int, began: datetime) -> None:
    """Five small campaigns that went out earlier, for the comparison."""
    for week in range(1, 6):
        row = Campaign(name=f"Before {week}", created_at=began, updated_at=began)
        row.status, row.started_at, row.audience = CampaignStatus.SENT, began - timedelta(weeks=week), 0
        session.add(row)
    session.flush()


def _signed_in(ground: runtime.Runtime, app: "Flask") -> Any:
    now = clock.now()
    with ground.writing() as session:
        account = people.add(session, "bench@bench.example", "admin", now)
        cookie = sessions.sign_in(session, account, now)
    client = app.test_client()
    client.set_cookie("kairan_session", cookie)
    return client


def _timed(ground: runtime.Runtime, client: Any, path: str) -> tuple[float, float]:
    """(ms in the database, ms in all)"""
    with _statements(ground) as spent:
        began = time.perf_counter()
        answer = client.get(path)
        whole = (time.perf_counter() - began) * 1e3
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}")
    return sum(spent) * 1e3, whole


@contextmanager
def _statements(ground: runtime.Runtime) -> Iterator[list[float]]:
    spent: list[float] = []
    engine = ground.database.engine

    def before(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    def after(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        spent.append(time.perf_counter() - context.began)

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield spent
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)


def _raw(ground: runtime.Runtime, campaign_id: int) -> float:
    with ground.reading() as session:
        began = time.perf_counter()
        session.execute(text(_RAW), {"campaign": campaign_id}).all()
        return (time.perf_counter() - began) * 1e3
