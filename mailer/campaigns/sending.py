"""What an edge needs to send a campaign: the check, and the send itself, with the bells after the commit."""

from datetime import datetime

from kairan import clock
from kairan.runtime import Runtime
from mailer.campaigns import jobs, lifecycle, preflight
from mailer.campaigns.preflight import has_errors
from mailer.compose.findings import Finding

__all__ = ["check", "has_errors", "schedule", "send_now"]


def check(ground: Runtime, campaign_id: int) -> list[Finding]:
    with ground.reading() as session:
        return preflight.check(session, campaign_id, ground.settings, now=clock.now())


def send_now(ground: Runtime, campaign_id: int) -> None:
    """draft → scheduled for now, and the bell for whoever starts it. Raises MoveRefused."""
    schedule(ground, campaign_id, clock.now())


def schedule(ground: Runtime, campaign_id: int, due_at: datetime, *, wall: str | None = None, zone: str | None = None) -> None:
    """Raises MoveRefused."""
    with ground.writing() as session:
        lifecycle.schedule(session, campaign_id, due_at, now=clock.now(), wall=wall, zone=zone)
    if due_at <= clock.now():
        jobs.ring_start(ground)
