"""What the tests' servers share: they die with the process that started them, and their folders are swept by a later run."""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def dies_with_parent(by: signal.Signals) -> Callable[[], object] | None:
    """For preexec_fn: the signal to the child when the thread that started it goes, even by kill -9. Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, by)


def own_folder(prefix: str, parent: Path) -> Path:
    """A new folder that bears this process's number; removes those of runs that were killed (60 MB each for PostgreSQL)."""
    for left in parent.glob(f"{prefix}-*-*"):
        owner = left.name.split("-")[1]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}-{os.getpid()}-", dir=parent))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
