"""`make faults`: every fault test on SQLite and PostgreSQL, and the table of docs/reliability.md from what they found.

What needs root, a namespace or a package that is not there is skipped and named. The run fails where a test does, and where it had
fewer than 200 kills or 2,000 dropped connections: then the table would say less than it seems to.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.invariants import REPORT, Tally

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- written by make faults -->", "<!-- end of what make faults writes -->"
KILLS_MIN, DROPS_MIN = 200, 2_000


@dataclass
class Row:
    """A fault, over all its repetitions."""

    tally: Tally = field(default_factory=Tally)
    repetitions: int = 0
    databases: set[str] = field(default_factory=set)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report, junit = Path(folder) / "report", Path(folder) / "junit.xml"
        report.touch()
        began = datetime.now(UTC)
        code = _run(report, junit, sys.argv[1:])
        rows, skipped = _rows(report), _skipped(junit)
    total = sum((row.tally for row in rows.values()), Tally())
    _write(rows, skipped, total, began)
    print(
        f"{total.kills} kills, {total.drops} dropped connections, {total.doubled} doubled, {total.lost} lost, {total.after_a_no} after a no"
    )
    if total.kills < KILLS_MIN or total.drops < DROPS_MIN:
        print(f"fewer than {KILLS_MIN} kills or {DROPS_MIN} dropped connections")
        return code or 1
    return code


def _run(report: Path, junit: Path, more: list[str]) -> int:
    # A file's tests stay together: they share a server, and the network namespaces are there once.
    spread = ("-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", *spread, f"--junitxml={junit}", "tests/faults", *more]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, REPORT: str(report)}, check=False).returncode


def _rows(report: Path) -> dict[str, Row]:
    rows: dict[str, Row] = defaultdict(Row)
    for line in report.read_text("utf-8").splitlines():
        told = json.loads(line)
        row = rows[_promise(told.pop("test"))]
        row.databases.add(told.pop("database"))
        row.tally += Tally(**told)
        row.repetitions += 1
    return rows


def _promise(test: str) -> str:
    """The test's name is the promise: `tests/faults/test_kills.py::test_a_killed_worker…[sqlite-3]`."""
    return test.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


def _skipped(junit: Path) -> list[str]:
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    return sorted(
        f"{_promise(case.get('name') or '')}{_parameters(case.get('name') or '')}: {skip.get('message')}"
        for case in cases
        for skip in case.findall("skipped")
    )


def _parameters(name: str) -> str:
    found = re.search(r"\[(.*)\]$", name)
    return f" ({found.group(1)})" if found else ""


def _write(rows: dict[str, Row], skipped: list[str], total: Tally, began: datetime) -> None:
    minutes = max(round((datetime.now(UTC) - began).total_seconds() / 60), 1)
    lines = [
        BEGIN,
        "",
        f"Run on {began:%d %B %Y}, {minutes} minutes on {os.cpu_count()} cores: {total.recipients:,} deliveries, {total.kills} kills, "
        f"{total.drops:,} dropped connections; **{total.doubled} doubled, {total.lost} lost, {total.after_a_no} after a no**, "
        f"{total.uncertain} uncertain where {total.bound} might have been.",
        "",
        "| what was promised and kept | on | runs | deliveries | kills | drops | doubled | lost | uncertain (bound) | after a no |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(name, row) for name, row in sorted(rows.items())),
        "",
        *(["Skipped on this machine:", "", *(f"- {reason}" for reason in skipped), ""] if skipped else []),
        END,
    ]
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + "\n".join(lines) + rest.partition(END)[2], "utf-8")


def _line(name: str, row: Row) -> str:
    tally = row.tally
    return (
        f"| {name} | {', '.join(sorted(row.databases))} | {row.repetitions} | {tally.recipients:,} | {tally.kills} | {tally.drops:,} "
        f"| {tally.doubled} | {tally.lost} | {tally.uncertain} ({tally.bound}) | {tally.after_a_no} |"
    )


if __name__ == "__main__":
    sys.exit(main())
