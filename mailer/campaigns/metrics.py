"""The figures of an installation for a monitor, as Prometheus' text format: small queries, and the tallies of this process."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from kairan import queues
from kairan.models.alerts import AlertPost, PostState
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Lane, Provider
from kairan.models.events import IngestCount
from kairan.models.jobs import Job, JobState
from kairan.models.outbox import OutboxMail, OutboxState
from kairan.runtime import Runtime
from kairan.settings import SettingError
from mailer.delivery import ceilings, providers
from mailer.reports import tallies
from tracking.buffer import STREAM

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass
class Metric:
    """One name with its samples: labels and value."""

    name: str
    help: str
    kind: str = "gauge"
    samples: list[tuple[dict[str, object], float]] = field(default_factory=list)

    def add(self, value: float | None, **labels: object) -> "Metric":
        if value is not None:
            self.samples.append((labels, value))
        return self


def page(ground: Runtime, now: datetime) -> str:
    return "".join(_lines(metric) for metric in collect(ground, now))


def _lines(metric: Metric) -> str:
    head = f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
    return head + "".join(f"{metric.name}{_labels(labels)} {value:.10g}\n" for labels, value in metric.samples)


def _labels(labels: dict[str, object]) -> str:
    return "{" + ",".join(f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in labels.items()) + "}" if labels else ""


def collect(ground: Runtime, now: datetime) -> Iterator[Metric]:
    with ground.reading() as session:
        yield from _campaigns(session, now)
        yield from _providers(session, now)
        yield from _waiting(session)
        yield from _tracking(session)
    yield from _redis(ground)
    yield from _journal(ground.settings.journal_dir)


def _campaigns(session: Session, now: datetime) -> Iterator[Metric]:
    going = session.scalars(select(Campaign.id).where(Campaign.status.in_([CampaignStatus.SENDING, CampaignStatus.PAUSED]))).all()
    deliveries = Metric("kairan_deliveries", "Deliveries of the campaigns going out or paused, by state.")
    rates = Metric("kairan_mails_per_second", "Mails answered a second over the last half minute.")
    for campaign_id in going:
        tally = tallies.tally(session, campaign_id)
        for state, count in tally.states.items():
            deliveries.add(count, campaign=campaign_id, state=state)
        rates.add(tally.rate_per_s(now), campaign=campaign_id)
    yield deliveries
    yield rates
    yield _counted("kairan_campaigns", "Campaigns by status.", "status", CampaignStatus, _rows(session, Campaign.status))
    lanes = session.scalar(select(func.count(Lane.id)).where(Lane.dead.is_(False)))
    yield Metric("kairan_lanes_alive", "Lanes that are sending.").add(lanes)


def _rows(session: Session, column: InstrumentedAttribute[str]) -> dict[str, int]:
    return {row[0]: row[1] for row in session.execute(select(column, func.count()).group_by(column))}


def _counted(name: str, text: str, label: str, values: Iterable[str], found: dict[str, int]) -> Metric:
    """Every value is there, also those that nothing has."""
    metric = Metric(name, text)
    for value in values:
        metric.add(found.get(value, 0), **{label: value})
    return metric


def _providers(session: Session, now: datetime) -> Iterator[Metric]:
    up = Metric("kairan_provider_up", "1 while the mail server's breaker is closed.")
    started = Metric("kairan_provider_started_today", "Mails started through it on this day of the installation's time zone.")
    ceiling = Metric("kairan_provider_ceiling", "What it may start today; without a ceiling there is no sample.")
    days = ceilings.today(session, now)
    for row in session.scalars(select(Provider).where(Provider.enabled.is_(True)).order_by(Provider.id)):
        labels = {"provider": row.id, "name": row.name}
        day = days.get(row.id)
        up.add(not providers.is_broken(row, now), **labels)
        started.add(day.started if day else 0, **labels)
        ceiling.add(ceilings.ceiling_of(session, row, day, now), **labels)
    yield from (up, started, ceiling)


def _waiting(session: Session) -> Iterator[Metric]:
    waiting = [OutboxState.QUEUED, OutboxState.SENDING]
    count = session.scalar(select(func.count(OutboxMail.id)).where(OutboxMail.state.in_(waiting)))
    yield Metric("kairan_outbox_waiting", "System mails that wait.").add(count)
    count = session.scalar(select(func.count(AlertPost.id)).where(AlertPost.state == PostState.QUEUED))
    yield Metric("kairan_alert_posts_waiting", "Alerts that wait for the webhook.").add(count)
    yield _counted("kairan_jobs", "Background jobs by state.", "state", JobState, _rows(session, Job.state))


def _tracking(session: Session) -> Iterator[Metric]:
    metric = Metric("kairan_tracking_dropped_total", "Fetches that were not counted, by reason.", "counter")
    for reason, count in session.execute(select(IngestCount.reason, func.sum(IngestCount.count)).group_by(IngestCount.reason)):
        metric.add(int(count), reason=reason)
    yield metric


def _redis(ground: Runtime) -> Iterator[Metric]:
    """With Redis away there is one figure, which says so."""
    lengths = Metric("kairan_queue_length", "Bells that wait in a queue.")
    stream = Metric("kairan_tracking_stream_length", "Entries of fetches that wait for the scheduler.")
    try:
        for name in queues.NAMES:
            lengths.add(ground.queues.waiting(name), queue=name)
        stream.add(int(ground.redis.xlen(STREAM)))
    except (RedisError, OSError, SettingError):
        yield Metric("kairan_redis_up", "1 while Redis answers.").add(0)
        return
    yield Metric("kairan_redis_up", "1 while Redis answers.").add(1)
    yield from (lengths, stream)


def _journal(folder: Path) -> Iterator[Metric]:
    """Of the host that is asked."""
    sizes = [size for path in folder.glob("lane-*.journal") if (size := _size(path)) is not None]
    yield Metric("kairan_journal_segments", "Segments of sending journals on this host.").add(len(sizes))
    yield Metric("kairan_journal_bytes", "Their bytes.").add(sum(sizes))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a lane ended in between
        return None
