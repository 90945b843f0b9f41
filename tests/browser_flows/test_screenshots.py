"""The pictures of the README come from the pages of `kairan demo`. `make screenshots` writes them."""

import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import free_port, wait_for
from tests.support.processes import dies_with_parent

FOLDER = Path(__file__).parents[2] / "docs/screenshots"
SIZE = {"width": 1280, "height": 860}
PAGES = {"campaign-content": "/campaigns/2/content", "report": "/campaigns/1"}
WRITES = bool(os.environ.get("KAIRAN_WRITE_SCREENSHOTS"))  # read at import: tests do not see settings of the machine


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a demo of this test's own, and the administrator's password."""
    port, log = free_port(), tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailer.cli", "demo", "--port", str(port)],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("KAIRAN_")},
            stdout=written,
            stderr=written,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
    try:
        found = wait_for("the demo is ready", lambda: re.search(r"password +(\S+)", log.read_text("utf-8")))
        yield f"http://127.0.0.1:{port}", found[1]
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _size(picture: bytes) -> tuple[int, int]:
    """Of a PNG: width and height stand at the beginning of its first chunk."""
    return struct.unpack(">II", picture[16:24])


def test_the_pictures_of_the_readme_are_those_of_the_pages(demo, new_page):
    address, password = demo
    page = new_page(locale="en-GB", viewport=SIZE)
    page.goto(f"{address}/login")
    page.fill("#email", "admin@example.org")
    page.fill("#password", password)
    page.click("main .btn.pri")
    page.wait_for_url(f"{address}/")
    readme = (FOLDER.parents[1] / "README.md").read_text("utf-8")

    for name, path in PAGES.items():
        page.goto(address + path, wait_until="networkidle")
        if "content" in name:
            page.wait_for_selector("[data-composer][data-ready]")
            page.locator(".c-palette").evaluate("place => place.scrollIntoView({ block: 'start' })")
        taken = page.screenshot()
        kept = FOLDER / f"{name}.png"
        if WRITES:
            kept.write_bytes(taken)

        assert f"docs/screenshots/{name}.png" in readme
        assert _size(kept.read_bytes()) == _size(taken) == (SIZE["width"], SIZE["height"])
