"""What each worker host and the scheduler do every 10 s: settle dead lanes, ring the bells that nobody heard."""

from kairan import jobs
from kairan.runtime import Runtime
from mailer.campaigns import jobs as campaigns
from mailer.delivery import jobs as sending
from mailer.delivery import system_mail

EVERY_S = 10.0


def sweep(ground: Runtime) -> None:
    sending.settle_dead(ground)
    campaigns.tick(ground)
    system_mail.ring_waiting(ground)
    jobs.ring_waiting(ground)
