"""A process tree that dies together: children are started, watched, started again with back-off, and stopped in order.

Children die with their parent even at kill -9 (PR_SET_PDEATHSIG); a stop is SIGTERM to all but those that others need, then those.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PR_SET_PDEATHSIG = 1
FIRST_BACK_OFF_S = 0.5
MAX_BACK_OFF_S = 30.0
HEALTHY_S = 20.0
"""a child that lived so long has its back-off forgotten"""
STOP_S = 60.0
"""a lane may have to wait for a slow server's last reply"""

log = logging.getLogger(__name__)


def die_with_parent() -> None:
    """In a child between fork and exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """One process to keep alive. Children of a later `stage` are started after the earlier ones are ready and stopped before them."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stage: int = 1
    ready: Callable[[], bool] | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    back_off_s: float = FIRST_BACK_OFF_S
    start_at: float = 0.0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


class Supervisor:
    """Keeps children alive until it is told to stop. Start it in the main thread: PDEATHSIG follows the thread that forked."""

    def __init__(self, children: Sequence[Child], *, every: Callable[[], None] | None = None, every_s: float = 10.0) -> None:
        self.children = list(children)
        self._every = every
        self._every_s = every_s
        self._next = 0.0
        self.stopping = False

    def run(self, started: Callable[[], None] | None = None, between: Callable[[], None] | None = None) -> None:
        """Returns when told to stop (SIGTERM, SIGINT) and everything has ended. `between` is called after the first stage is ready."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            for stage in sorted({child.stage for child in self.children}):
                self._start_stage(stage)
                if between is not None and not self.stopping:
                    between()
                    between = None
            if started is not None and not self.stopping:
                started()
            while not self.stopping:
                self.look()
                time.sleep(0.2)
        finally:
            self.stop_all()

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def _start_stage(self, stage: int) -> None:
        members = [child for child in self.children if child.stage == stage]
        for child in members:
            self._start(child)
        while not self.stopping and not all(child.ready() for child in members if child.ready is not None):
            self._watch()
            time.sleep(0.02)

    def look(self) -> None:
        """One round: restarts what died, calls the regular work when its time has come."""
        self._watch()
        if self._every is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every_s
            try:
                self._every()
            except Exception as error:  # the regular work must not end the supervision; it says so and goes on in the next round
                log.warning("sweep failed", extra={"error": f"{type(error).__name__}: {str(error)[:200]}"})

    def _watch(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None or child.runs:
                continue
            if not child.start_at:
                lived = now - child.started
                child.back_off_s = FIRST_BACK_OFF_S if lived > HEALTHY_S else min(child.back_off_s * 2, MAX_BACK_OFF_S)
                child.start_at = now + (child.back_off_s if lived <= HEALTHY_S else 0)
                log.warning("%s died", child.name, extra={"code": child.process.returncode, "again_in_s": round(child.start_at - now, 1)})
            if now >= child.start_at:
                self._start(child)

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.argv, env={**os.environ, **child.environment}, preexec_fn=die_with_parent, stdin=subprocess.DEVNULL
        )
        child.started, child.start_at = time.monotonic(), 0.0

    def stop_all(self) -> None:
        for stage in sorted({child.stage for child in self.children}, reverse=True):
            members = [child for child in self.children if child.stage == stage and child.runs]
            for child in members:
                assert child.process is not None
                child.process.terminate()
            until = time.monotonic() + STOP_S
            for child in members:
                assert child.process is not None
                try:
                    child.process.wait(max(until - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    log.warning("%s does not stop", child.name)
                    child.process.kill()
