"""What each worker host and the scheduler do every 10 s: settle dead lanes, ring the bells that nobody heard."""

from kairan import clock, jobs
from kairan.runtime import Runtime
from mailer.campaigns import jobs as campaigns
from mailer.delivery import journal, recovery, system_mail

EVERY_S = 10.0


def sweep(ground: Runtime) -> None:
    recovery.sweep(ground.database, journal.Folder(ground.settings.journal_dir), clock.now())
    campaigns.tick(ground)
    system_mail.ring_waiting(ground)
    jobs.ring_waiting(ground)
