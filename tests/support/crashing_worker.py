"""A worker for tests that dies, or stops, at a named point of the code that it runs; the code itself knows nothing of it.

`python -m tests.support.crashing_worker` opens the runtime of its environment, then reads a line of JSON for each piece of work, forks a
horse as RQ does, and tells how it ended: `{"work": "lane", "campaign": 1, "crash": "dot.after:3:KILL"}`. The third time that a D has been
written the horse then gets SIGKILL, from itself. Points are functions, `before` and `after`. `constants` sets names of modules (timeouts),
`limits` the process's resource limits; KAIRAN_TEST_CHUNK makes chunks smaller.
"""

import functools
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.support.processes import dies_with_parent

# name → (module, function or Class.method). Each has `.before` and `.after`; `after` is not `committed`, which is the next one's `before`.
POINTS = {
    "begin": ("mailer.campaigns.lifecycle", "start"),
    "compile": ("mailer.campaigns.compilation", "compile_campaign"),
    "piece": ("mailer.delivery.snapshot", "take_piece"),
    "written": ("mailer.delivery.snapshot", "_write_deliveries"),
    "settle": ("mailer.delivery.snapshot", "settle"),
    "lane": ("mailer.delivery.jobs", "_prepare"),
    "lock": ("mailer.delivery.journal", "hold_lock"),
    "segment": ("mailer.delivery.journal", "Journal._new_segment"),
    "claim": ("mailer.delivery.chunks", "claim"),
    "claimed": ("mailer.delivery.feeder", "Feeder._claim"),
    "gate": ("mailer.delivery.feeder", "gate"),
    "gated": ("mailer.delivery.feeder", "Feeder._after_gate"),
    "splice": ("mailer.delivery.programs", "ProgramSet.splice"),
    "mail": ("mailer.delivery.smtp", "Connection.transaction"),
    "dot": ("mailer.delivery.journal", "Journal.dot"),
    "write": ("mailer.delivery.smtp", "Connection.write_message"),
    "verdict": ("mailer.delivery.smtp", "Connection.dot_reply"),
    "reply": ("mailer.delivery.journal", "Journal.reply"),
    "record": ("mailer.delivery.recorder", "record"),
    "recorded": ("mailer.delivery.journal", "Journal.recorded"),
    "release": ("mailer.delivery.chunks", "let_go"),
    "end": ("mailer.delivery.jobs", "_end"),
    "close": ("mailer.delivery.journal", "Journal.close"),
    "bury": ("mailer.delivery.recovery", "_bury"),
    "verdicts": ("mailer.delivery.recovery", "_settle"),
    "forget": ("mailer.delivery.journal", "Folder.remove"),
    "finish": ("mailer.campaigns.lifecycle", "finish_if_done"),
    "cancel": ("mailer.campaigns.lifecycle", "cancel_waiting"),
}

HURRIED = {"mailer.delivery.lane.SLOW_MAX_S": 0.02}
"""for every piece of work: a mail server that always hangs up is asked at once again, where the product slows down"""


@dataclass(frozen=True)
class Crash:
    """At which point, the how manieth time, by which signal: `dot.after:3:KILL`."""

    point: str
    moment: str
    hit: int
    signal: signal.Signals

    @classmethod
    def parse(cls, text: str) -> "Crash":
        where, hit, name = text.split(":")
        point, moment = where.split(".")
        return cls(point, moment, int(hit), signal.Signals[f"SIG{name}"])


# ---- in the horse ----


def plant(crash: Crash) -> None:
    """Wraps the function of the point, so that this process is killed or stopped there."""
    module_name, path = POINTS[crash.point]
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, _wrapped(getattr(owner, name), crash))


def _wrapped(function: Callable[..., Any], crash: Crash) -> Callable[..., Any]:
    hits = 0

    def strike(moment: str) -> None:
        nonlocal hits
        if moment != crash.moment:
            return
        hits += 1
        if hits == crash.hit:
            os.kill(os.getpid(), crash.signal)

    @functools.wraps(function)
    def around(*arguments: Any, **named: Any) -> Any:
        strike("before")
        answer = function(*arguments, **named)
        if hasattr(answer, "__await__"):
            return _awaited(answer)
        strike("after")
        return answer

    async def _awaited(answer: Any) -> Any:
        found = await answer
        strike("after")
        return found

    return around


def small_chunks(size: int) -> None:
    """In this process: a chunk is so many deliveries, so that few recipients make many chunks."""
    from mailer.delivery import chunks, snapshot

    chunks.CHUNK = snapshot.CHUNK = size


def _lane(campaign_id: int, seconds: float) -> None:
    from mailer.delivery import jobs

    jobs.run_lane(campaign_id, seconds)


def _start(campaign_id: int, seconds: float) -> None:
    from mailer.campaigns import jobs

    jobs.start_due()


def _begin(campaign_id: int, seconds: float) -> None:
    from mailer.campaigns import jobs

    jobs.begin(campaign_id)


def _sweep(campaign_id: int, seconds: float) -> None:
    from kairan import runtime
    from mailer.delivery import jobs

    jobs.settle_dead(runtime.runtime())


def _tick(campaign_id: int, seconds: float) -> None:
    from kairan import runtime
    from mailer.campaigns import jobs

    jobs.tick(runtime.runtime())


def _cancel(campaign_id: int, seconds: float) -> None:
    from kairan import runtime
    from mailer.campaigns import jobs

    jobs.cancel(runtime.runtime(), campaign_id)


WORK = {"lane": _lane, "start": _start, "begin": _begin, "sweep": _sweep, "tick": _tick, "cancel": _cancel}


def _horse(order: dict[str, Any]) -> None:
    from kairan import runtime

    dies_with_parent_now()
    runtime.runtime().forget()
    if order.get("crash"):
        plant(Crash.parse(order["crash"]))
    if order.get("clock_s"):
        _move_clock(order["clock_s"])
    for path, value in {**HURRIED, **order.get("constants", {})}.items():
        module, _, name = path.rpartition(".")
        setattr(importlib.import_module(module), name, value)
    for name, value in order.get("limits", {}).items():
        import resource

        resource.setrlimit(getattr(resource, name), (value, value))
    WORK[order["work"]](order["campaign"], order.get("seconds", 20.0))


def _move_clock(seconds: float) -> None:
    """The machine's clock is wrong by so much in this process; monotonic time is not, as after a step of the system clock."""
    from datetime import datetime, timedelta, tzinfo

    from kairan import clock

    class Wrong:
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.now(zone) + timedelta(seconds=seconds)

    clock.datetime = Wrong  # type: ignore[misc,assignment,attr-defined]


def dies_with_parent_now() -> None:
    prepare = dies_with_parent(signal.SIGKILL)
    if prepare is not None:
        prepare()


# ---- the worker process ----


def _main() -> None:
    from kairan import logs, runtime
    from mailer.campaigns import jobs as _campaigns  # noqa: F401  # imported once, before any fork
    from mailer.delivery import jobs as _sending  # noqa: F401

    logs.start("worker")
    if size := os.environ.get("KAIRAN_TEST_CHUNK"):
        small_chunks(int(size))
    ground = runtime.runtime()
    ground.database.dispose()
    living: set[int] = set()
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.005 if living else None)
        if ready:
            piece = os.read(0, 65_536)
            if not piece:
                return
            *orders, waiting = (waiting + piece).split(b"\n")
            living.update(_fork(json.loads(order)) for order in orders)
        _reap(living)


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _horse(order)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _tell(pid=pid, event="forked")
    return pid


def _reap(living: set[int]) -> None:
    for pid in list(living):
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not found:
            continue
        if os.WIFSTOPPED(status):
            _tell(pid=pid, event="stopped")
            continue
        living.discard(pid)
        _tell(pid=pid, event="ended", code=-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


# ---- in the test ----


@dataclass
class Horse:
    """A forked piece of work. `code`: 0 ended by itself, -9 killed, 1 an exception (in the worker's log)."""

    pid: int
    worker: "Worker"
    stopped: bool = False
    code: int | None = None

    def wait(self) -> int:
        while self.code is None:
            self.worker.hear()
        return self.code

    def poll(self) -> int | None:
        """How it ended, None while it runs."""
        while self.code is None and self.worker.has_news():
            self.worker.hear()
        return self.code

    def wait_until_stopped(self) -> bool:
        """False: it ended without having come to the point."""
        while self.code is None and not self.stopped:
            self.worker.hear()
        return self.stopped

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        if number is signal.SIGCONT:
            self.stopped = False


class Worker:
    """The running worker process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._horses: dict[int, Horse] = {}
        self._heard = b""

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def start(self, work: str, campaign_id: int = 0, crash: str = "", **more: Any) -> Horse:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"work": work, "campaign": campaign_id, "crash": crash, **more}).encode() + b"\n")
        self._process.stdin.flush()
        before = set(self._horses)
        while not (new := set(self._horses) - before):
            self.hear()
        return self._horses[new.pop()]

    def run(self, work: str, campaign_id: int = 0, crash: str = "", **more: Any) -> int:
        return self.start(work, campaign_id, crash, **more).wait()

    def living(self) -> list[Horse]:
        return [horse for horse in self._horses.values() if horse.poll() is None]

    def has_news(self) -> bool:
        return b"\n" in self._heard or bool(select.select([self._out], [], [], 0)[0])

    def hear(self) -> None:
        """One line from the worker."""
        while b"\n" not in self._heard:
            piece = os.read(self._out.fileno(), 65_536)
            assert piece, "the worker process ended"
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        told = json.loads(line)
        if told["event"] == "forked":
            self._horses[told["pid"]] = Horse(told["pid"], self)
        elif told["event"] == "stopped":
            self._horses[told["pid"]].stopped = True
        else:
            self._horses[told["pid"]].code = told["code"]


@contextmanager
def running(environment: Mapping[str, str], *, chunk: int | None = None, prefix: tuple[str, ...] = ()) -> Iterator[Worker]:
    """A worker process with these KAIRAN_ settings; `prefix` is a command before it (`ip netns exec …`)."""
    extra = {} if chunk is None else {"KAIRAN_TEST_CHUNK": str(chunk)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KAIRAN_")}
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.support.crashing_worker"],
        env={**clean, **environment, **extra},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=dies_with_parent(signal.SIGKILL),
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


if __name__ == "__main__":
    _main()
