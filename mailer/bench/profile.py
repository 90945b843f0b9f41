"""Where the CPU of a mail goes, step by step: the functions of a lane are wrapped in the benchmark's own lane process."""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

from mailer.delivery import chunks, feeder, recorder
from mailer.delivery.dkim import Signer
from mailer.delivery.journal import Journal
from mailer.delivery.programs import ProgramSet
from mailer.delivery.stint import Stint

_STEPS: tuple[tuple[str, object, str], ...] = (
    ("claim", chunks, "claim"),
    ("claim", chunks, "waiting"),
    ("gate", feeder, "gate"),
    ("record", recorder, "record"),
    ("splice", ProgramSet, "splice"),
    ("sign", Signer, "sign"),
    ("journal", Journal, "dot"),
    ("journal", Journal, "reply"),
    ("journal", Journal, "recorded"),
)
_SQL = ("claim", "gate", "record")


class Profile:
    """CPU seconds by step, summed over the threads of this process. A step costs about 0.7 us more while it is watched."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.waited: dict[str, float] = defaultdict(float)
        for step, owner, name in _STEPS:
            setattr(owner, name, self._watched(step, getattr(owner, name)))
        self._watch_transactions()
        self._began = time.process_time(), time.thread_time()

    def _watched(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self.spent[step] += time.thread_time() - cpu
                self.waited[step] += time.perf_counter() - wall

        return watched

    def _watch_transactions(self) -> None:
        """BEGIN to COMMIT in the database thread; what is not claim, gate or record is the transaction's own."""
        in_transaction = Stint._in_transaction

        def watched(self_: Stint, function: Any) -> Any:
            return self._watched("transaction", in_transaction)(self_, function)

        Stint._in_transaction = watched  # type: ignore[assignment, method-assign]

    def told(self) -> dict[str, float]:
        """Step to CPU seconds; `smtp` is the event loop without splice and journal: sockets, replies, tasks, bookkeeping."""
        spent = dict(self.spent)
        database = sum(spent.get(step, 0.0) for step in _SQL)
        spent["commit"] = spent.pop("transaction", 0.0) - database
        all_cpu = time.process_time() - self._began[0]
        spent["smtp"] = all_cpu - database - spent["commit"] - spent.get("splice", 0.0) - spent.get("journal", 0.0) - spent.get("sign", 0.0)
        return spent | {f"{step}_wall": self.waited[step] for step in ("gate", "record", "transaction")}
