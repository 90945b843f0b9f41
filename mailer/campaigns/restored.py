"""The guard against a database that was restored from a backup, or a copied data folder: what it would send may have gone out long ago.

The database counts up while mail goes out, and each data folder remembers how far it has seen it count. A database that is behind its
folder was put back; a folder whose file is not the file it was written as was copied. Then everything scheduled or on its way, and every
series, is paused until a person resumes it.
"""

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from kairan import audit
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.installation import Mark
from kairan.runtime import Runtime
from kairan.sql import insert, is_sqlite
from mailer.campaigns import lifecycle, series

NAME = "epoch"
"""of the mark in the database and of the file in the data folder"""
LOCK = "epoch.lock"
LOCK_WAIT_S = 5.0
WHILE_SENDING = timedelta(seconds=10)
AT_REST = timedelta(seconds=60)
STOOD_STILL = timedelta(minutes=15)
"""a host without a file is a new one where the database was alive so lately; else the database may have been put back"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the database says of itself."""

    lineage: str
    count: int
    before: str
    """the lineage that a person's restore ended: other hosts that still know that one follow without another hold"""
    at: datetime

    def __str__(self) -> str:
        return f"{self.lineage} {self.count} {self.before or '-'} {int(self.at.timestamp())}"

    @classmethod
    def read(cls, text: str) -> "Epoch":
        lineage, count, before, at = text.split()
        return cls(lineage, int(count), before.replace("-", ""), datetime.fromtimestamp(int(at), UTC))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a data folder has seen of its database. `inode`: of the file itself, which a copy does not have."""

    lineage: str
    count: int
    inode: int


def guard(ground: Runtime, now: datetime) -> list[int]:
    """Before anything is started or sent, and every few seconds. The ids of campaigns that were paused."""
    with _alone(ground.settings.data_dir) as mine:
        # Who does not get to it in time leaves it to whoever is at it.
        return _guard(ground, now) if mine else []


def _guard(ground: Runtime, now: datetime) -> list[int]:
    path = ground.settings.data_dir / NAME
    seen = _seen(path)
    with ground.reading() as session:
        epoch = _epoch(session)
        is_sending = session.execute(select(exists().where(Campaign.status == CampaignStatus.SENDING))).scalar_one()
        strange = epoch is not None and _is_strange(epoch, seen, path, now, sqlite=is_sqlite(session))
    if epoch is None:
        return _begin(ground, path, now)
    if strange:
        return _hold(ground, epoch, path, now)
    if now - epoch.at >= (WHILE_SENDING if is_sending else AT_REST):
        epoch = _count_up(ground, epoch, now)
    if seen is None or (seen.lineage, seen.count) != (epoch.lineage, epoch.count):
        _remember(path, epoch)
    return []


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """One process of a data folder at a time, whether this one got to it: between mark and file another would see a restored database."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Not for ever: a process that is stopped while it holds the lock must not stop the others' sweeps."""
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                log.warning("somebody else is at the restore guard")
                return False
            time.sleep(0.01)


def _is_strange(epoch: Epoch, seen: Seen | None, path: Path, now: datetime, *, sqlite: bool) -> bool:
    if seen is None:
        return sqlite or now - epoch.at > STOOD_STILL
    if seen.inode != path.stat().st_ino or seen.lineage not in (epoch.lineage, epoch.before):
        return True
    return seen.lineage == epoch.lineage and epoch.count < seen.count


def _begin(ground: Runtime, path: Path, now: datetime) -> list[int]:
    """The first time, or a database from before there was a guard. The file first: a kill in between leaves a file without a mark, which
    is the first time again; a mark without a file would be a restored database."""
    fresh = Epoch(secrets.token_hex(8), 1, "", now)
    _remember(path, fresh)
    epoch = _plant(ground, fresh)
    if epoch.lineage != fresh.lineage:  # another host was quicker
        _remember(path, epoch)
    return []


def _plant(ground: Runtime, fresh: Epoch) -> Epoch:
    with ground.writing() as session:
        session.execute(insert(session, Mark).values(name=NAME, value=str(fresh)).on_conflict_do_nothing())
        return _epoch(session) or fresh


def _hold(ground: Runtime, found: Epoch, path: Path, now: datetime) -> list[int]:
    """Pauses everything and begins a new lineage, in one transaction; of two hosts that find it one does so."""
    epoch = Epoch(secrets.token_hex(8), found.count + 1, found.lineage, now)
    held: list[int] = []
    with ground.writing() as session:
        if not _swap(session, found, epoch):
            return []
        held = lifecycle.hold_all(session, "restored", now=now)
        paused = series.hold_all(session, now=now)
        if held or paused:
            audit.note(session, "system", "installation.restored", None, {"campaigns": held, "series": paused}, now)
    _remember(path, epoch)
    log.error("the database was restored or copied: campaigns wait for a person", extra={"campaigns": held, "series": paused})
    return held


def _count_up(ground: Runtime, epoch: Epoch, now: datetime) -> Epoch:
    further = replace(epoch, count=epoch.count + 1, at=now)
    with ground.writing() as session:
        return further if _swap(session, epoch, further) else epoch


def _swap(session: Session, before: Epoch, after: Epoch) -> bool:
    moved = session.execute(
        update(Mark).where(Mark.name == NAME, Mark.value == str(before)).values(value=str(after)).returning(Mark.name)
    ).one_or_none()
    return moved is not None


def _epoch(session: Session) -> Epoch | None:
    text = session.execute(select(Mark.value).where(Mark.name == NAME)).scalar_one_or_none()
    return Epoch.read(text) if text else None


# ---- the data folder


def _seen(path: Path) -> Seen | None:
    try:
        lineage, count, inode = path.read_text("ascii").split()
        return Seen(lineage, int(count), int(inode))
    except (FileNotFoundError, ValueError):
        return None


def _remember(path: Path, epoch: Epoch) -> None:
    """Written in place and in one go, so that the file stays the file it is."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(handle, f"{epoch.lineage} {epoch.count:012} {os.fstat(handle).st_ino:020}\n".encode("ascii"), 0)
        os.fsync(handle)
    finally:
        os.close(handle)
