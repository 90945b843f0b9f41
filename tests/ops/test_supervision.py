"""What dies is started again, what is told to stop stops, and nothing outlives its parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kairan import settings
from kairan.settings import SettingError
from mailer.ops import demo, roles
from tests.support.installation import wait_for

_TREE = """
import sys
from mailer.ops.supervision import Child, Supervisor
folder = sys.argv[1]
child = Child("sleeper", [sys.executable, "-c", f"import os,time; open({folder!r} + '/' + str(os.getpid()), 'w').close(); time.sleep(600)"])
Supervisor([child]).run()
"""


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children(folder: Path) -> list[int]:
    return [int(name) for name in os.listdir(folder)]


@pytest.fixture
def tree(tmp_path: Path) -> tuple[subprocess.Popen[bytes], Path]:
    process = subprocess.Popen([sys.executable, "-c", _TREE, str(tmp_path)], stderr=subprocess.DEVNULL)
    wait_for("the child runs", lambda: _children(tmp_path), 20)
    return process, tmp_path


def test_what_dies_is_started_again(tree: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = tree
    os.kill(_children(folder)[0], signal.SIGKILL)

    wait_for("a second child runs", lambda: len(_children(folder)) == 2, 20)

    process.terminate()
    assert process.wait(20) == 0


def test_a_stop_ends_the_children_first(tree: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = tree

    process.terminate()

    assert process.wait(20) == 0
    assert not any(_alive(pid) for pid in _children(folder))


def test_children_die_with_a_parent_that_is_killed(tree: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = tree

    process.kill()
    process.wait()

    wait_for("the child is gone", lambda: not any(_alive(pid) for pid in _children(folder)), 20)


def test_one_installation_a_data_folder(tmp_path: Path) -> None:
    given = settings.load({"KAIRAN_DATA_DIR": str(tmp_path)}, tmp_path)
    lock = roles.hold_data_folder(given)

    with pytest.raises(SettingError, match="already runs"):
        roles.hold_data_folder(given)

    os.close(lock)


def test_fresh_never_removes_what_no_demo_made(tmp_path: Path) -> None:
    (tmp_path / "kairan.sqlite").write_text("real data", "utf-8")

    with pytest.raises(SettingError, match="not a demo"):
        demo._remove(tmp_path)

    assert (tmp_path / "kairan.sqlite").exists()
