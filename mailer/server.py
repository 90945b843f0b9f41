"""The web role under granian: Flask with the tracking fast path in front, one process, eight threads."""

import ctypes
import os
import signal
from typing import Any

from kairan import logs
from mailer.ops import first_run
from mailer.ops.supervision import PR_SET_PDEATHSIG

THREADS = 8
BACKLOG = 1_024
TRACKING_ONLY = "KAIRAN_ROLE_TRACKING_ONLY"
UNDER_UP = "KAIRAN_ROLE_UNDER_UP"


def serve(host: str, port: int, *, tracking_only: bool = False) -> None:
    """Serves until SIGTERM; events still in the buffer are flushed before the end."""
    from granian import Granian
    from granian.constants import Interfaces

    os.environ[TRACKING_ONLY] = "1" if tracking_only else ""
    Granian(
        "mailer.server:application",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        backlog=BACKLOG,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=15,
    ).serve()


def _say_setup() -> None:
    """The way in while nobody has an account; `kairan up` says it itself."""
    address = first_run.setup_address()
    if address:
        print(f"Make the administrator: {address}", flush=True)


def application() -> Any:
    """The WSGI application of granian's worker process, which dies with granian even at kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    logs.start("web")
    from mailer import app
    from mailer.ops.roles import wait_for_ground

    ground = wait_for_ground()
    if not os.environ.get(TRACKING_ONLY) and not os.environ.get(UNDER_UP):
        _say_setup()
    return app.create_public_app(ground) if os.environ.get(TRACKING_ONLY) else app.create_app(ground)
