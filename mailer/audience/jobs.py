"""The import job: reads the stored file, writes members batch by batch with its progress, and goes on after a kill where it stood."""

import csv
import io
import itertools
import logging
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from kairan import clock, i18n, installation, jobs
from kairan.i18n import gettext as _
from kairan.models.audience import Recording
from kairan.models.installation import LegalProfile
from kairan.models.jobs import Job, JobFile
from kairan.runtime import Runtime, runtime
from mailer.audience import attributes, csv_import, staging
from mailer.audience.csv_reader import BOM, Record, Records, delimiter_of
from mailer.audience.csv_rows import FileRefused, Header, Row, RowRefused, read_header, read_row
from unsubscribe.bulk import Agreement

ROWS_MAX = 1_000_000
ATTEMPTS_MAX = 3
POSTGRES_BATCH = 4_000
"""0.3 s; a no of a member in it waits as long, so not more (10,000 rows at once are 5 % faster)"""
SQLITE_AIM_S = 0.035
SQLITE_BATCH = (250, 2_000)
"""least and most; in between it follows the time a batch took, since a write there may last 50 ms"""
_TABLES = ("members", "subscriptions", "permissions", "consents")

log = logging.getLogger(__name__)


def run_import(job_id: int) -> None:
    """RQ function."""
    ground = runtime()
    try:
        with ground.writing() as session:
            job = jobs.begin(session, job_id, clock.now())
            language = jobs.language(session, job)
    except jobs.JobTaken:
        return
    with i18n.speaking(language):
        try:
            _Import(ground, job).run()
            failure = None
        except FileRefused as refused:
            failure = str(refused)
        except jobs.JobTaken:
            return
        except Exception:
            log.exception("import failed", extra={"job": job_id, "attempt": job.attempt})
            if job.attempt < ATTEMPTS_MAX:
                return  # its lease runs out and the sweep rings again; it goes on where it stood
            failure = _("The import stopped at an error, which was written to the log. The rows before it are in.")
        _end(ground, job, failure)


def _end(ground: Runtime, job: Job, failure: str | None) -> None:
    with ground.writing() as session:
        if not ground.database.is_sqlite:
            session.execute(text(f"ANALYZE {', '.join(_TABLES)}"))
        done = session.execute(select(Job.done).where(Job.id == job.id)).scalar_one()
        try:
            jobs.finish(session, job, clock.now(), failure=failure, total=done)
        except jobs.JobTaken:
            return
    csv_import.drop_upload(ground, job.id)


class _Import:
    """One attempt at one file."""

    def __init__(self, ground: Runtime, job: Job) -> None:
        self.ground = ground
        self.job = job
        self.done = job.done
        self.errors = job.errors
        self.result: dict[str, Any] = {"imported": 0, "merged": 0, "rejected_pieces": 0, **job.result}

    def run(self) -> None:
        """Raises FileRefused, JobTaken."""
        if "size" not in self.result:
            raise FileRefused(csv_import.broken_off())
        records, header = self._open()
        with self.ground.writing() as session:
            attributes.learn(session, header.names, now=clock.now())
            target = self._target(session)
        size = SQLITE_BATCH[0] if self.ground.database.is_sqlite else POSTGRES_BATCH
        rows = (record for record in records if record.problem or any(record.fields))
        while batch := list(itertools.islice(rows, size)):
            if self.done + len(batch) > ROWS_MAX:
                raise FileRefused(_("The file has more than %(max)s rows; those up to there are in.", max=i18n.number(ROWS_MAX)))
            took_s = self._write(batch, header, target, records)
            size = _next_size(size, took_s) if self.ground.database.is_sqlite else size
        if not self.done:
            raise FileRefused(_("The file has no row below its first line."))

    def _open(self) -> tuple[Records, Header]:
        """The records behind the header, or behind what an earlier attempt has written. Raises FileRefused."""
        start = next(csv_import.read_upload(self.ground, self.job.id), b"")
        if not start.strip(BOM + b" \r\n\t"):
            raise FileRefused(_("The file is empty."))
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise FileRefused(_("The file is not in UTF-8. Save it as “CSV UTF-8” and upload it again."))
        mark = len(BOM) if start.startswith(BOM) else 0
        newline = b"\r" if b"\r" in start and b"\n" not in start else b"\n"
        first = start[mark:].split(newline, 1)[0].decode("utf-8", "surrogateescape")
        records = Records(self._pieces(mark), delimiter_of(first), offset=mark, newline=newline)
        header = read_header(next(records))
        if "offset" in self.result:
            offset, line = self.result["offset"], self.result["line"]
            records = Records(self._pieces(offset), delimiter_of(first), offset=offset, line=line, newline=newline)
        return records, header

    def _pieces(self, offset: int) -> Iterator[bytes]:
        return csv_import.read_upload(self.ground, self.job.id, offset)

    def _target(self, session: Session) -> staging.Target:
        given, agreed = self.job.arguments, None
        if given["consent"]:
            dated = datetime.fromisoformat(given["consent_at"]) if given["consent_at"] else None
            agreed = Agreement(given["consent"], dated or self.job.created_at, is_dated=dated is not None)
        profile = session.get(LegalProfile, installation.get(session, "legal_profile"))
        return staging.Target(given["list_id"], agreed, profile.recording if profile else Recording.IDENTIFIED)

    def _write(self, batch: list[Record], header: Header, target: staging.Target, records: Records) -> float:
        """One batch with its progress in one transaction; the seconds it took."""
        rows, rejected = self._read(batch, header)
        began = time.monotonic()
        with self.ground.writing() as session:
            now = clock.now()
            imported = staging.write(session, rows, target, now) if rows else staging.Imported(0, 0, [])
            reason = _("this person had their data erased; only they themselves can come back")
            rejected += [(line, email, reason) for line, email in imported.erased]
            result = {
                **self.result,
                "offset": records.offset,
                "line": records.line,
                "imported": self.result["imported"] + imported.new,
                "merged": self.result["merged"] + len(batch) - imported.new - len(rejected),
                "rejected_pieces": self.result["rejected_pieces"] + bool(rejected),
            }
            self._keep_rejected(session, rejected)
            done, errors = self.done + len(batch), self.errors + len(rejected)
            jobs.advance(session, self.job, now, done=done, errors=errors, result=result)
        self.done, self.errors, self.result = done, errors, result
        return time.monotonic() - began

    def _read(self, batch: list[Record], header: Header) -> tuple[list[Row], list[tuple[int, str, str]]]:
        """(rows with distinct addresses, (line, address as written, reason) of those refused)."""
        rows: dict[bytes, Row] = {}
        rejected = []
        for record in batch:
            try:
                row = read_row(record, header, self.ground.secrets.address_key)
            except RowRefused as refused:
                written = record.fields[header.email] if len(record.fields) > header.email else ""
                rejected.append((record.line, written, str(refused)))
                continue
            first = rows.setdefault(row.address_key, row)
            if first is not row:
                first.fill_from(row)
        return list(rows.values()), rejected

    def _keep_rejected(self, session: Session, rejected: list[tuple[int, str, str]]) -> None:
        if not rejected:
            return
        number = self.result["rejected_pieces"]
        data = rejected_csv(sorted(rejected), with_header=number == 0)
        session.add(JobFile(job_id=self.job.id, name=csv_import.REJECTED, piece=number, data=data))


def rejected_csv(rejected: list[tuple[int, str, str]], *, with_header: bool) -> bytes:
    """For a spreadsheet: with the mark that makes Excel read UTF-8, and no cell that it would take for a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if with_header:
        writer.writerow(("line", "email", "reason"))
    writer.writerows((line, _harmless(email), reason) for line, email, reason in rejected)
    return (BOM if with_header else b"") + out.getvalue().encode()


def _harmless(cell: str) -> str:
    """A cell of the file as text: no formula, nothing that is not Unicode, not longer than an address may be."""
    shown = cell.encode("utf-8", "replace").decode().replace("\x00", "").strip()[:254]
    return f"'{shown}" if shown.lstrip(" '\"")[:1] in tuple("=+-@\t\r") else shown


def _next_size(size: int, took_s: float) -> int:
    least, most = SQLITE_BATCH
    return max(least, min(most, int(size * max(0.5, min(2, SQLITE_AIM_S / took_s)))))
