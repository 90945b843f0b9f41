"""The web role under granian: Flask with the tracking fast path in front, one process, eight threads."""

import ctypes
import gc
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from kairan import logs
from mailer.ops import first_run
from mailer.ops.serving import THREADS, TRACKING_THREADS, granian
from mailer.ops.supervision import PR_SET_PDEATHSIG

if TYPE_CHECKING:
    from kairan.runtime import Runtime

TRACKING_ONLY = "KAIRAN_ROLE_TRACKING_ONLY"
UNDER_UP = "KAIRAN_ROLE_UNDER_UP"
RETRY_S = 2.0

log = logging.getLogger(__name__)


def serve(host: str, port: int, *, tracking_only: bool = False) -> None:
    """Serves until SIGTERM; events still in the buffer are flushed before the end."""
    os.environ[TRACKING_ONLY] = "1" if tracking_only else ""
    threads = TRACKING_THREADS if tracking_only else THREADS
    granian("mailer.server:application", host, port, factory=True, threads=threads).serve()


def _say_setup() -> None:
    """The way in while nobody has an account; `kairan up` says it itself."""
    address = first_run.setup_address()
    if address:
        print(f"Make the administrator: {address}", flush=True)


def application() -> Any:
    """The WSGI application of granian's worker process, which dies with granian even at kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    logs.start("web")
    made = _tracking_application() if os.environ.get(TRACKING_ONLY) else _whole_application()
    # What is loaded stays: collections no longer walk through a million objects, and fetches that wait 200 ms cause few of them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    return made


def _whole_application() -> Any:
    from mailer import app
    from mailer.ops.roles import wait_for_ground

    ground = wait_for_ground()
    if not os.environ.get(UNDER_UP):
        _say_setup()
    return app.create_app(ground)


def _tracking_application() -> Any:
    """Answers /o and /c at once, whatever is away: tokens need the secret alone, and links are in the copy on disk."""
    from kairan import database, runtime, secrets, settings
    from mailer import app

    given = settings.load()
    ground = runtime.Runtime(given, secrets.load(given), database.Database(given.database_url))
    return app.with_tracking(LatePages(ground), ground)


class LatePages:
    """The pages for members, made as soon as the database answers and proves to be ours; 503 until then."""

    def __init__(self, ground: "Runtime") -> None:
        self._ground = ground
        self._pages: Any = None
        self._again_at = 0.0
        self._making = threading.Lock()
        self._make()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        pages = self._pages or self._make()
        if pages is not None:
            return pages(environ, start_response)
        start_response("503 Service Unavailable", [("Content-Length", "0"), ("Retry-After", "5"), ("Cache-Control", "no-store")])
        return [b""]

    def _make(self) -> Any:
        with self._making:
            if self._pages is None and time.monotonic() >= self._again_at:
                try:
                    self._pages = self._made()
                except Exception as error:  # away, being migrated, or not ours: said, and tried again
                    log.warning("no pages for members yet: %s", type(error).__name__)
                    self._again_at = time.monotonic() + RETRY_S
            return self._pages

    def _made(self) -> Any:
        from kairan import database
        from mailer import app

        database.check_schema(self._ground.database)
        with self._ground.writing() as session:
            database.check_secret(session, self._ground.secrets.fingerprint)
        return app.create_member_pages(self._ground)
