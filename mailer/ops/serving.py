"""Granian as we run it, for our own application and for the empty one that `kairan bench track` puts beside it."""

from typing import Any

THREADS = 8
TRACKING_THREADS = 2
"""they wait for each other at Python's lock: beside an empty application a fetch costs 1.3 times as much CPU with two, twice with eight"""
BACKLOG = 1_024


def granian(target: str, host: str, port: int, *, factory: bool, threads: int = THREADS) -> Any:
    """The server as we run it; `kairan bench track` puts an empty application under the same."""
    from granian import Granian
    from granian.constants import Interfaces

    return Granian(
        target,
        factory=factory,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=threads,
        backlog=BACKLOG,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=15,
    )
