"""What stands on every page beside its own content: the campaigns going out, the jobs that run."""

from flask import g
from sqlalchemy import func, select

from kairan.models.jobs import Job, JobState
from mailer.web import campaign_queries, edge


def going_out() -> list[campaign_queries.Going]:
    """For the banner; the pages of such a campaign show it themselves."""
    if edge.person() is None or not edge.can("campaign.view"):
        return []
    with edge.reading() as session:
        found = campaign_queries.going_out(session)
    return [going for going in found if going.id != g.get("campaign_shown")]


def running_jobs() -> int:
    if "running_jobs" not in g:
        with edge.reading() as session:
            g.running_jobs = session.scalar(select(func.count(Job.id)).where(Job.state.in_((JobState.QUEUED, JobState.RUNNING)))) or 0
    return int(g.running_jobs)
