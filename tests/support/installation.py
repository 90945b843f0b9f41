"""A real installation in processes of its own, as an operator runs it, and a small HTTP client for it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import dies_with_parent

SECRET = "for tests only, never for mail: 0123456789"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _titled(headers: Any) -> dict[str, str]:
    """Header names have no case (RFC 9110 5.1); tests look for `Content-Type`."""
    return {name.title(): value for name, value in headers.items()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass
class Installation:
    """The roles that run, where, and a token for its API."""

    base: str
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]]
    log: Path
    token: str = ""

    def http(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        request = urllib.request.Request(
            path if path.startswith("http") else self.base + path,
            data=body,
            method=method,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            with _OPENER.open(request, timeout=30) as found:
                return Answer(found.status, _titled(found.headers), found.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _titled(error.headers), error.read())

    def api(self, method: str, path: str, document: Any = None) -> Answer:
        body = None if document is None else json.dumps(document).encode()
        return self.http(method, f"/api/v1{path}", body, Authorization=f"Bearer {self.token}", Content_Type="application/json")

    def command(self, *arguments: str) -> str:
        """What `kairan …` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "mailer.cli", *arguments], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def wait_for(what: str, found: Callable[[], Any], timeout_s: float = 60, *, every: float = 0.05) -> Any:
    """The first true answer; fails the test with `what` after timeout_s."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if answer := found():
            return answer
        time.sleep(every)
    raise AssertionError(f"{what}: not within {timeout_s} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, *, database_url: str | None, smtp_url: str, lanes: int = 1) -> Iterator[Installation]:
    """`kairan up` on SQLite (no URL); on PostgreSQL single roles, with two workers."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KAIRAN_")},
        "KAIRAN_DATA_DIR": str(folder / "var"),
        "KAIRAN_BASE_URL": f"http://127.0.0.1:{port}",
        "KAIRAN_SMTP_URL": smtp_url,
        "KAIRAN_SECRET_KEY": SECRET,
        "PYTHONWARNINGS": "default",
    }
    roles: list[Sequence[str]] = [("up", "--port", str(port), "--workers", str(lanes))]
    if database_url is not None:
        environment["KAIRAN_DATABASE_URL"] = database_url
        roles = [("valkey",), ("web", "--port", str(port)), ("scheduler",), ("worker", "-n", str(lanes)), ("worker", "-n", str(lanes))]
    log = folder / "log"
    with log.open("wb") as written:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "mailer.cli", *role],
                env=environment,
                stdout=written,
                stderr=written,
                preexec_fn=dies_with_parent(signal_term()),
            )
            for role in roles
        ]
        installation = Installation(f"http://127.0.0.1:{port}", environment, processes, log)
        try:
            wait_for("the installation is ready", lambda: _is_ready(installation))
            installation.token = installation.command(
                "token", "add", "tests", "--role", "admin", "--purpose", "a test", "--recipient", "us"
            )
            yield installation
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def signal_term() -> Any:
    import signal

    return signal.SIGTERM


def _is_ready(installation: Installation) -> bool:
    if any(process.poll() is not None for process in installation.processes):
        raise AssertionError(installation.log.read_text("utf-8", "replace")[-3_000:])
    try:
        return installation.http("GET", "/readyz").status == 200
    except OSError:
        return False
