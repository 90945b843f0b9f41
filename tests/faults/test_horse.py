"""A horse that is killed is settled by the worker that held it: no sweep is needed, and none runs here."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kairan.runtime import Runtime
from mailer.delivery import jobs
from tests.delivery.conftest import ground as ground
from tests.delivery.conftest import new_campaign as new_campaign
from tests.delivery.conftest import server as server
from tests.support.fault_smtp import FaultSmtp
from tests.support.ground import SECRET, states
from tests.support.installation import wait_for
from tests.support.processes import dies_with_parent


def _children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _count(ground: Runtime, campaign_id: int) -> dict[str, int]:
    with ground.reading() as session:
        return states(session, campaign_id)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_killed_horse_held_is_settled_without_a_sweep(
    ground: Runtime, server: FaultSmtp, new_campaign: Callable[..., int], valkey: str
) -> None:
    campaign_id = new_campaign("mute-dot")
    environment = {
        **os.environ, "KAIRAN_DATA_DIR": str(ground.settings.data_dir), "KAIRAN_DATABASE_URL": ground.settings.database_url,
        "KAIRAN_REDIS_URL": valkey, "KAIRAN_SMTP_URL": server.url, "KAIRAN_SECRET_KEY": SECRET,
    }  # fmt: skip
    worker = subprocess.Popen([sys.executable, "-m", "worker", "lane"], env=environment, preexec_fn=dies_with_parent(signal.SIGKILL))
    try:
        jobs.ring(ground, campaign_id)
        wait_for("the mail is at the server", lambda: server.mails)
        (horse,) = _children(worker.pid)
        os.kill(horse, signal.SIGKILL)

        wait_for("it is settled", lambda: "sending" not in _count(ground, campaign_id), 8)
    finally:
        worker.terminate()
        worker.wait()

    assert sum(_count(ground, campaign_id).values()) == 1
