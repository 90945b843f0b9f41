"""The demo's inbox: an SMTP server that keeps every mail as a file, so that what the pages show went over SMTP for real."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT_MAX = 2_000
FOLDER = "KAIRAN_DEMO_INBOX"
"""environment variable by which the web process finds the folder"""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that arrived. `name` is its file's name and sorts by time of arrival."""

    name: str
    arrived: float
    message: EmailMessage
    raw: bytes

    @property
    def html(self) -> str | None:
        return _part(self.message, "html")

    @property
    def text(self) -> str | None:
        return _part(self.message, "plain")


def _part(message: EmailMessage, kind: str) -> str | None:
    body = message.get_body((kind,))
    return None if body is None else str(body.get_content())


def names(folder: Path) -> list[str]:
    """The newest first."""
    if not folder.is_dir():
        return []
    return sorted((entry.name for entry in os.scandir(folder) if entry.name.endswith(".eml")), reverse=True)


def read(folder: Path, name: str) -> Mail | None:
    """None for a name that is none of ours: nothing outside the folder is ever opened."""
    stem = name.removesuffix(".eml")
    if not (name.endswith(".eml") and stem.replace("-", "").isdigit()):
        return None
    try:
        raw = (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    message = message_from_bytes(raw, policy=default)
    return Mail(name, int(stem.split("-")[0]) / 1e9, message, raw)


def newest(folder: Path, count: int, after: str | None = None) -> Iterator[Mail]:
    """Up to `count` mails, older than the one named `after`."""
    listed = [name for name in names(folder) if after is None or name < after]
    for name in listed[:count]:
        mail = read(folder, name)
        if mail is not None:
            yield mail


class _Keeper:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self._count += 1
        name = f"{time.time_ns():019d}-{self._count:06d}.eml"
        draft = self._folder / f"{name}.new"
        draft.write_bytes(envelope.original_content or b"")
        draft.rename(self._folder / name)
        if self._count % 100 == 0:
            for old in names(self._folder)[KEPT_MAX:]:
                (self._folder / old).unlink(missing_ok=True)
        return "250 2.0.0 Kept"


async def _serve(port: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    loop = asyncio.get_running_loop()
    keeper = _Keeper(folder)
    server = await loop.create_server(
        lambda: SMTP(keeper, hostname="inbox.demo", loop=loop, data_size_limit=50 * 1024 * 1024), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
