"""The demo is a usable system with real mail in its inbox, and ends when it is told to."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from mailer import demo_mail
from tests.support.installation import Installation, free_port, wait_for
from tests.support.processes import dies_with_parent


def test_the_demo_has_mail_in_its_inbox_and_ends_at_once_when_told(tmp_path: Path) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAIRAN_")}
    out = tmp_path / "out"
    with out.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailer.cli", "demo", "--port", str(port)],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=written,
            stderr=subprocess.DEVNULL,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
    shown = Installation(f"http://127.0.0.1:{port}", {}, [process], out)
    try:
        wait_for("the demo says hello", lambda: "password" in out.read_text("utf-8"), 60)
        assert shown.http("GET", "/login").status == 200
        folder = tmp_path / "var/demo/inbox"
        mails = list(demo_mail.newest(folder, 300))
        assert len(mails) > 200
        beacon = re.search(r"http://127[^\"]*/o/[^\"]*\.gif", mails[0].html or "")
        assert beacon is not None
        assert shown.http("GET", beacon.group(0)).headers["Content-Type"] == "image/gif"
    finally:
        process.terminate()
        assert process.wait(40) == 0
