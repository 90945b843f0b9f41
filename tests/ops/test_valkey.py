"""The embedded Valkey comes back where it was: whoever is connected to it knows no other place."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from kairan.queues import SOCKET_FILE
from mailer.ops import valkey
from tests.support.installation import wait_for
from tests.support.processes import dies_with_parent


def _serve(data: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "KAIRAN_DATA_DIR": str(data)}
    return subprocess.Popen([sys.executable, "-m", "mailer.cli", "valkey"], env=environment, preexec_fn=dies_with_parent(signal.SIGKILL))


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_a_killed_valkey_returns_at_the_place_its_clients_know(tmp_path: Path) -> None:
    first = _serve(tmp_path)
    wait_for("the place is written", (tmp_path / SOCKET_FILE).exists)
    client = Redis.from_url(f"unix://{(tmp_path / SOCKET_FILE).read_text('utf-8')}")
    wait_for("it answers", lambda: _answers(client))
    first.kill()
    first.wait()
    second = _serve(tmp_path)
    try:
        wait_for("it answers the same client again", lambda: _answers(client))
    finally:
        client.close()
        second.terminate()
        second.wait()


def test_a_folder_that_others_can_write_to_is_not_used_again(tmp_path: Path) -> None:
    old = tmp_path / "kairan-old"
    old.mkdir()
    old.chmod(0o777)
    (tmp_path / SOCKET_FILE).write_text(str(old / "v.sock"), "utf-8")

    place = valkey._place(tmp_path / SOCKET_FILE)

    assert place.parent != old
    assert (tmp_path / SOCKET_FILE).read_text("utf-8") == str(place)
    place.parent.rmdir()
