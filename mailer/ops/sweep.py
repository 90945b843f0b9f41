"""What each worker host and the scheduler do every 10 s: settle dead lanes, ring the bells that nobody heard, mind disk and clock."""

import logging

from kairan import clock, jobs
from kairan.runtime import Runtime
from mailer.campaigns import alert_posts
from mailer.campaigns import jobs as campaigns
from mailer.delivery import brakes, system_mail
from mailer.delivery import jobs as sending
from mailer.delivery.surroundings import Surroundings
from mailer.ops.lookout import Lookout

EVERY_S = 10.0

log = logging.getLogger(__name__)


class Sweep:
    """One host's, for as long as its process lives."""

    def __init__(self, ground: Runtime) -> None:
        self.ground = ground
        self._surroundings = Surroundings((ground.settings.data_dir, ground.settings.journal_dir))
        self._lookout = Lookout(ground)

    def __call__(self) -> None:
        self._mind_surroundings()
        self._lookout()  # before what needs Redis: with it away the rest of the sweep ends there
        sending.settle_dead(self.ground)
        campaigns.tick(self.ground)
        system_mail.ring_waiting(self.ground)
        alert_posts.ring_waiting(self.ground)
        jobs.ring_waiting(self.ground)

    def _mind_surroundings(self) -> None:
        found = self._surroundings.look(clock.now())
        if found is None:
            return
        reason, detail = found
        with self.ground.writing() as session:
            paused = brakes.pause_all(session, reason, detail, clock.now())
        log.error("sending stops on this machine's account", extra={"reason": reason, "detail": detail, "paused": len(paused)})


def after_a_death(ground: Runtime) -> None:
    """What a worker does when its horse was killed. Nothing of it may keep the worker from its queue, nor stay open at its next fork."""
    try:
        sending.settle_dead(ground)
        campaigns.tick(ground)
    except Exception as error:  # the regular sweep comes within 10 s
        log.warning("not settled at once", extra={"error": type(error).__name__})
    finally:
        ground.database.dispose()
