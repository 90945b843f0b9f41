"""The sending journal: D before a final dot, R after its reply, on a local disk, readable after any death of the lane.

Segments are preallocated files of fixed 128-byte records with a CRC, written through a shared mapping at our own offset; zeros are the
end. What is stored in the mapping outlives the process as what pwrite wrote would (both end in the page cache), without two system calls
a mail in which the event loop lets go of the interpreter (15 us of 140). The lane's lock is a file of its own, taken before the first
gate and held as long as the lane lives: a free lock is the proof of death. Segments are only data, and recovery reads all of a lane
together (DESIGN.md "Journal").
"""

import fcntl
import mmap
import os
import secrets
import socket
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RECORD = 128
SEGMENT_RECORDS = 4_096
_HEAD = struct.Struct("<cBHIQ")  # kind, text length, code, fence, number
_TEXT_MAX = RECORD - _HEAD.size - 4
_NFS_LIKE = {0x6969, 0xFF534D42, 0x517B, 0x65735546}  # nfs, cifs, smb, fuse: no flock or no page cache to trust


class JournalError(OSError):
    """The journal cannot be written: no dot may follow."""


class Answer(NamedTuple):
    """R: what the server said to an attempt."""

    code: int
    text: str


@dataclass(frozen=True)
class Found:
    """What a dead lane's journal says, by (number, fence). `torn`: the tail is unreadable, so a missing D proves nothing."""

    dots: frozenset[tuple[int, int]]
    answers: dict[tuple[int, int], Answer]
    torn: bool


class Folder:
    """The journal folder of this machine; its random id tells other machines whose it is."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_network_disk(path)
        self.path = path
        self.place = _place_id(path / "place")

    def lock_path(self, lane_id: int) -> Path:
        return self.path / f"lane-{lane_id}.lock"

    def lanes(self) -> list[int]:
        """Lanes with a lock file here, living or dead."""
        names = (entry.name for entry in os.scandir(self.path))
        return sorted(int(name[5:-5]) for name in names if name.startswith("lane-") and name.endswith(".lock") and name[5:-5].isdigit())

    def segments(self, lane_id: int) -> list[Path]:
        return sorted(self.path.glob(f"lane-{lane_id}-*.journal"))

    def remove(self, lane_id: int) -> None:
        """After the recovery's commit: the data first, the lock last."""
        for path in (*self.segments(lane_id), *self.path.glob(f"lane-{lane_id}-*.new")):
            path.unlink(missing_ok=True)
        self.lock_path(lane_id).unlink(missing_ok=True)


def _place_id(path: Path) -> str:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        while len(found := path.read_text("ascii").strip()) != 32:  # the other process is between open and write
            os.sched_yield()
        return found
    place = secrets.token_hex(16)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(place)
        file.flush()
        os.fsync(file.fileno())
    return place


def _refuse_network_disk(path: Path) -> None:
    import ctypes

    class Statfs(ctypes.Structure):
        _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_char * 512))

    found = Statfs()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), ctypes.byref(found)) == 0 and found.f_type & 0xFFFFFFFF in _NFS_LIKE:
        raise JournalError("KAIRAN_JOURNAL_DIR lies on a network disk, where locks and crashes cannot be trusted: name a local folder")


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def host_name() -> str:
    return socket.gethostname()[:255]


def hold_lock(path: Path) -> int | None:
    """Takes the lock of a lane; None where its owner lives. The file descriptor is the lock: close it to let go."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


class _Segment:
    __slots__ = ("closed", "map", "next", "open", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        # Under another name until it has its full length: a shorter segment is a torn one.
        draft = path.with_suffix(".new")
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Blocks that are allocated cannot run out: a store into a mapping has no other way to say so than a signal that kills.
            os.posix_fallocate(handle, 0, RECORD * SEGMENT_RECORDS)
            self.map = mmap.mmap(handle, RECORD * SEGMENT_RECORDS)
        finally:
            os.close(handle)
        os.rename(draft, path)
        self.next = 0
        self.open = 0
        """records whose delivery is not yet recorded in the database"""
        self.closed = False


class Journal:
    """The journal of one living lane."""

    def __init__(self, folder: Folder, lane_id: int) -> None:
        """Raises JournalError where the disk is full or the lock is taken."""
        self._folder = folder
        self._lane_id = lane_id
        lock = hold_lock(folder.lock_path(lane_id))
        if lock is None:
            raise JournalError(f"lane {lane_id} is alive elsewhere")
        self._lock = lock
        self._waiting: dict[tuple[int, int], list[_Segment]] = {}
        self._segment = self._new_segment()

    def _new_segment(self) -> _Segment:
        try:
            return _Segment(self._folder.path / f"lane-{self._lane_id}-{secrets.token_hex(8)}.journal")
        except OSError as error:
            raise JournalError(f"the journal cannot grow: {error}") from error

    def dot(self, number: int, fence: int) -> None:
        """The final dot of this attempt is about to be written. Raises JournalError: then it must not be."""
        self._write(b"D", number, fence, 0, b"")

    def reply(self, number: int, fence: int, code: int, text: str) -> None:
        self._write(b"R", number, fence, code, text.encode()[:_TEXT_MAX])

    def _write(self, kind: bytes, number: int, fence: int, code: int, text: bytes) -> None:
        segment = self._segment
        if segment.next == SEGMENT_RECORDS:
            segment.closed, self._segment = True, self._new_segment()
            self._drop_if_done(segment)
            segment = self._segment
        body = _HEAD.pack(kind, len(text), code, fence, number) + text.ljust(_TEXT_MAX, b"\0")
        at = segment.next * RECORD
        segment.map[at : at + RECORD] = body + zlib.crc32(body).to_bytes(4, "little")
        segment.next += 1
        segment.open += 1
        self._waiting.setdefault((number, fence), []).append(segment)

    def recorded(self, number: int, fence: int) -> None:
        """The attempt's outcome is committed: its records are no longer needed; a closed segment without needed ones goes."""
        for segment in self._waiting.pop((number, fence), ()):
            segment.open -= 1
            self._drop_if_done(segment)

    def _drop_if_done(self, segment: _Segment) -> None:
        if segment.closed and not segment.open:
            segment.map.close()
            segment.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Only when everything is recorded: data first, lock last."""
        self._folder.remove(self._lane_id)
        self.abandon()

    def abandon(self) -> None:
        """Lets go of the lock and leaves the data: from now on the lane is dead, and recovery reads what is here."""
        self._segment.map.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def read(folder: Folder, lane_id: int) -> Found:
    """Everything a dead lane wrote. A record that does not check ends its segment and marks the whole as torn."""
    dots: set[tuple[int, int]] = set()
    answers: dict[tuple[int, int], Answer] = {}
    torn = False
    for path in folder.segments(lane_id):
        data = path.read_bytes()
        torn = torn or len(data) != RECORD * SEGMENT_RECORDS
        for at in range(0, len(data), RECORD):
            record = data[at : at + RECORD]
            if not record.strip(b"\0"):
                torn = torn or bool(data[at:].strip(b"\0"))  # a hole: something later was written, this was lost
                break
            body = record[:-4]
            if len(record) != RECORD or zlib.crc32(body).to_bytes(4, "little") != record[-4:]:
                torn = True
                break
            kind, length, code, fence, number = _HEAD.unpack_from(body)
            if kind == b"D":
                dots.add((number, fence))
            else:
                text = body[_HEAD.size : _HEAD.size + length].decode("utf-8", "replace")
                answers[number, fence] = Answer(code, text)
    return Found(frozenset(dots), answers, torn)
