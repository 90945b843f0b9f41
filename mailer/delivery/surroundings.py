"""What stops sending on this machine before it does harm: no room on the disk, a clock that jumped."""

import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from kairan import clock

ROOM_MIN = 64 << 20
"""bytes: the journal of 20 lanes and the database's own log for some minutes"""
JUMP_MAX = timedelta(seconds=60)


@dataclass
class Surroundings:
    """Looked at by every sweep of a host; remembers the clocks of the look before."""

    folders: tuple[Path, ...]
    _before: tuple[datetime, float] | None = field(default=None, init=False)

    def look(self, now: datetime, boottime: float | None = None) -> tuple[str, str] | None:
        """(key of mailer.campaigns.lifecycle.PAUSE_REASONS, detail), or None."""
        return self._disk() or self._clock(now, clock.boottime() if boottime is None else boottime)

    def _disk(self) -> tuple[str, str] | None:
        for folder in self.folders:
            free = shutil.disk_usage(folder).free if folder.exists() else ROOM_MIN
            if free < ROOM_MIN:
                return "disk", f"{free >> 20} MiB"
        return None

    def _clock(self, now: datetime, boottime: float) -> tuple[str, str] | None:
        """The wall clock against the one nobody can set: a host that slept has lost nothing, one whose clock was set may have."""
        before, self._before = self._before, (now, boottime)
        if before is None:
            return None
        jump = (now - before[0]) - timedelta(seconds=boottime - before[1])
        return ("clock", f"{jump.total_seconds():+.0f} s") if abs(jump) > JUMP_MAX else None
