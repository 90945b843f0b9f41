"""The RQ worker: one process on one queue. `kairan worker` starts as many of them as asked; the rules are elsewhere."""

import argparse
import ctypes
import os
import signal
from typing import Any

from rq import Queue, Worker
from rq.serializers import JSONSerializer

from kairan import logs, queues, runtime

PR_SET_PDEATHSIG = 1


class KairanWorker(Worker):
    """A worker whose horse dies with it and opens everything itself."""

    parent = os.getpid()

    def main_work_horse(self, job: Any, queue: Any) -> None:
        # A killed parent leaves its horse sending while RQ hands the job to another worker (RELIABILITY-SECURITY.md, finding 4).
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.parent:
            os._exit(1)
        runtime.runtime().forget()
        super().main_work_horse(job, queue)

    def request_stop(self, signum: Any, frame: Any) -> None:
        """SIGTERM: the lane stops gating, finishes what is in hand and records it; RQ then ends as usual."""
        if self.horse_pid:
            os.kill(self.horse_pid, signal.SIGTERM)
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def _settle(job: Any, retpid: int | None, ret_val: int | None, rusage: Any) -> None:
    """A horse was killed: what it left is settled now, and not at the next sweep up to 10 s later."""
    from mailer.ops.sweep import after_a_death

    after_a_death(runtime.runtime())


def work(queue: str) -> None:
    """Works one queue until it is told to stop: with several RQ would lose a job at a kill (BLPOP)."""
    ground = runtime.runtime()
    ground.database.dispose()  # nothing of the parent's may be open when it forks
    connection = ground.redis
    worker = KairanWorker(
        [Queue(queue, connection=connection, serializer=JSONSerializer)],
        connection=connection,
        serializer=JSONSerializer,
        job_monitoring_interval=5,
        maintenance_interval=30,
        work_horse_killed_handler=_settle,
    )
    worker.work(logging_level="WARNING", with_scheduler=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="An RQ worker of Kairan; `kairan worker -n N` starts a whole set.")
    parser.add_argument("queue", nargs="?", choices=queues.NAMES, help="work this queue alone; without it: a whole set, as `kairan worker`")
    arguments = parser.parse_args()
    logs.start("worker")
    if arguments.queue:
        work(arguments.queue)
        return
    from mailer.ops.roles import run_workers

    run_workers(1)


if __name__ == "__main__":
    main()
