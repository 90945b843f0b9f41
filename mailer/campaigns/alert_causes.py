"""What an installation's database says that a person should be told of, compared with what was told already."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import clock
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Provider
from kairan.runtime import Runtime
from kairan.settings import SettingError
from mailer.campaigns import alert_posts, alerts
from mailer.delivery import providers, system_mail
from mailer.reports import tallies

MISSED = ("late", "missed")
ENDED_WITHIN = timedelta(hours=1)
UNCERTAIN_WITHIN = timedelta(days=7)
PREFIXES = ("campaign/", "provider/")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that stands at this moment."""

    kind: str
    facts: dict[str, Any]


def look(ground: Runtime) -> None:
    """Every 10 s, by the scheduler: tells of what is new, notes what is over. A write transaction only where something is."""
    now, base_url = clock.now(), ground.settings.base_url
    with ground.reading() as session:
        causes = found(session, now)
        known = [key for prefix in PREFIXES for key in alerts.standing(session, prefix)]
        in_use = {f"provider/{number}" for number in session.scalars(select(Provider.id).where(Provider.enabled.is_(True)))}
    fresh, over = causes.keys() - set(known), set(known) - causes.keys()
    if not (fresh or over):
        return
    with ground.writing() as session:
        for key in sorted(fresh):
            alerts.begin(session, key, causes[key].kind, causes[key].facts, base_url, now)
        for key in sorted(over):
            alerts.end(session, key, base_url, now, quietly=key not in in_use)
    ring(ground)


def ring(ground: Runtime) -> None:
    """After the commit of whatever was told."""
    try:
        system_mail.ring(ground)
        alert_posts.ring(ground)
    except (SettingError, OSError, RedisError):  # a sweep rings again what waits too long
        log.warning("alerts wait: Redis does not answer")


def found(session: Session, now: datetime) -> dict[str, Cause]:
    return {**_paused(session), **_ended(session, now), **_uncertain(session, now), **_providers(session, now)}


def _paused(session: Session) -> dict[str, Cause]:
    rows = session.scalars(select(Campaign).where(Campaign.status == CampaignStatus.PAUSED, Campaign.paused_reason.is_not(None)))
    return {
        f"campaign/{row.id}/paused": Cause(
            "schedule.missed" if row.paused_reason in MISSED else "campaign.paused",
            {"campaign": row.id, "name": row.name, "reason": row.paused_reason, "detail": row.paused_detail or ""},
        )
        for row in rows
    }


def _ended(session: Session, now: datetime) -> dict[str, Cause]:
    rows = session.scalars(select(Campaign).where(Campaign.status == CampaignStatus.SENT, Campaign.ended_at > now - ENDED_WITHIN))
    causes = {}
    for row in rows:
        counts = tallies.tally(session, row.id).states
        figures = {"accepted": counts["accepted"], "rejected": counts["rejected"], "all": sum(counts.values())}
        moment = int(row.ended_at.timestamp()) if row.ended_at else 0
        causes[f"campaign/{row.id}/ended/{moment}"] = Cause("campaign.ended", {"campaign": row.id, "name": row.name, **figures})
    return causes


def _uncertain(session: Session, now: datetime) -> dict[str, Cause]:
    states = [CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.SENT]
    rows = session.scalars(select(Campaign).where(Campaign.status.in_(states), Campaign.started_at > now - UNCERTAIN_WITHIN))
    causes = {}
    for row in rows:
        if count := tallies.tally(session, row.id).states["uncertain"]:
            causes[f"campaign/{row.id}/uncertain"] = Cause("campaign.uncertain", {"campaign": row.id, "name": row.name, "count": count})
    return causes


def _providers(session: Session, now: datetime) -> dict[str, Cause]:
    """A breaker that is open, and one whose time is over but through which nothing has gone since: it is not well yet."""
    rows = session.scalars(select(Provider).where(Provider.enabled.is_(True), Provider.breaks > 0, Provider.broken_until.is_not(None)))
    return {
        f"provider/{row.id}": Cause(
            "provider.failed",
            {"provider": row.id, "name": row.host if row.name == providers.ENVIRONMENT else row.name, "error": row.last_error or ""},
        )
        for row in rows
    }
