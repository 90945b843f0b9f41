"""A file of addresses that shall get no mail, worked by a job: columns `email` or `domain`, if you like `reason` and `note`.

It only ever adds: an entry that stands for a stronger reason stays. What an export of the list wrote is read back by its `address_key`.
"""

import itertools
import logging
import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from kairan import addresses, clock, i18n, jobs
from kairan.i18n import gettext as _
from kairan.models.jobs import Job, JobFile, JobState
from kairan.models.suppression import SuppressionReason
from kairan.runtime import Runtime, runtime
from mailer.audience import csv_import
from mailer.audience.csv_reader import BOM, Record, Records, delimiter_of
from mailer.audience.csv_rows import FileRefused, RowRefused, why
from mailer.audience.jobs import rejected_csv
from unsubscribe import bulk_suppression, domains
from unsubscribe.bulk_suppression import Wanted

KIND = "suppressions"
BATCH = 500
NOTE_MAX = 500
_NAMES = {
    "email": ("email", "e-mail", "e_mail", "mail", "address", "email address", "メールアドレス"),
    "domain": ("domain", "ドメイン"),
    "key": ("address_key", "key"),
    "reason": ("reason", "理由"),
    "note": ("note", "備考"),
}
_REASONS = {str(reason): reason for reason in SuppressionReason if reason != SuppressionReason.ERASED}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: an address by its key, or a domain."""

    wanted: Wanted | None
    domain: str
    note: str


def start(session: Session, *, actor: str, by: int | None, now: datetime, source: str = "") -> Job:
    """A job that waits for its file: `csv_import.store_upload`, then `jobs.ring`."""
    job = jobs.create(session, KIND, {"actor": actor, "source": source}, now=now, by=by)
    job.state, job.lease_until = JobState.RUNNING, now + jobs.LEASE  # as in csv_import.start_import
    session.flush()
    return job


def run(job_id: int) -> None:
    """RQ function."""
    ground = runtime()
    try:
        with ground.writing() as session:
            job = jobs.begin(session, job_id, clock.now())
            language = jobs.language(session, job)
    except jobs.JobTaken:
        return
    with i18n.speaking(language):
        failure, stopped = None, False
        try:
            stopped = _work(ground, job)
        except FileRefused as refused:
            failure = str(refused)
        except jobs.JobTaken:
            return
        except Exception:
            log.exception("import of suppressions failed", extra={"job": job_id, "attempt": job.attempt})
            if job.attempt < 3:
                return  # its lease runs out and the sweep rings again; what is on the list already is added once
            failure = _("The import stopped at an error, which was written to the log. The rows before it are in.")
        with ground.writing() as session:
            jobs.finish(session, job, clock.now(), failure=failure, stopped=stopped)
    csv_import.drop_upload(ground, job.id)


def _work(ground: Runtime, job: Job) -> bool:
    """From the beginning in each attempt. Whether somebody asked for the end. Raises FileRefused, JobTaken."""
    records, places, first = _open(ground, job.id)
    done, errors, pieces, added = 0, 0, 0, 0
    rows = (record for record in itertools.chain(first, records) if record.problem or any(record.fields))
    while batch := list(itertools.islice(rows, BATCH)):
        entries, rejected = _read(ground, batch, places)
        with ground.writing() as session:
            now = clock.now()
            added += _write(session, entries, job.arguments["actor"], now)
            if rejected:
                data = rejected_csv(rejected, with_header=pieces == 0)
                session.merge(JobFile(job_id=job.id, name=csv_import.REJECTED, piece=pieces, data=data))
            done, errors, pieces = done + len(batch), errors + len(rejected), pieces + bool(rejected)
            result = {**job.result, "imported": added}
            if jobs.advance(session, job, now, done=done, errors=errors, total=max(done, job.total or 0), result=result):
                return True
    if not done:
        raise FileRefused(_("The file has no row below its first line."))
    return False


def _open(ground: Runtime, job_id: int) -> tuple[Records, dict[str, int], list[Record]]:
    """(records, column → place, the first record where it is a row itself). Raises FileRefused."""
    start_of_file = next(csv_import.read_upload(ground, job_id), b"")
    if not start_of_file.strip(BOM + b" \r\n\t"):
        raise FileRefused(_("The file is empty."))
    mark = len(BOM) if start_of_file.startswith(BOM) else 0
    newline = b"\r" if b"\r" in start_of_file and b"\n" not in start_of_file else b"\n"
    first_line = start_of_file[mark:].split(newline, 1)[0].decode("utf-8", "surrogateescape")
    records = Records(csv_import.read_upload(ground, job_id, mark), delimiter_of(first_line), offset=mark, newline=newline)
    first = next(records)
    if len(first.fields) == 1 and "@" in first.fields[0]:
        return records, {"email": 0}, [first]  # a bare list of addresses
    cells = [cell.strip().casefold() for cell in first.fields]
    places = {name: cells.index(cell) for name, possible in _NAMES.items() for cell in possible if cell in cells}
    if not places.keys() & {"email", "domain", "key"}:
        raise FileRefused(
            _("The file has no column “email” or “domain”. Its first line must name the columns, for example: email,reason,note")
        )
    return records, places, []


def _read(ground: Runtime, batch: list[Record], places: dict[str, int]) -> tuple[list[Entry], list[tuple[int, str, str]]]:
    entries, rejected = [], []
    for record in batch:
        cells = {name: record.fields[at].strip() if at < len(record.fields) else "" for name, at in places.items()}
        try:
            entries.append(_entry(ground, record, cells))
        except RowRefused as refused:
            rejected.append((record.line, cells.get("email") or cells.get("domain") or "", str(refused)))
    return entries, rejected


def _entry(ground: Runtime, record: Record, cells: dict[str, str]) -> Entry:
    """Raises RowRefused."""
    if record.problem:
        raise RowRefused(record.problem)
    note = "".join(letter for letter in cells.get("note", "") if letter.isprintable())[:NOTE_MAX]
    reason = _REASONS.get(cells.get("reason", "").casefold(), SuppressionReason.STAFF)
    email, domain, key = (cells.get(name, "") for name in ("email", "domain", "key"))
    is_keyed = re.fullmatch("[0-9a-f]{32}", key) is not None
    try:
        if email and not (is_keyed and "•" in email):  # masked, for whoever made the file
            return Entry(Wanted(ground.secrets.address_key(addresses.normal(email)), reason, note), "", note)
        if domain:
            return Entry(None, addresses.domain(domain).ascii, note)
    except addresses.AddressError as error:
        raise RowRefused(_("the address is not valid: %(reason)s", reason=why(error))) from error
    if is_keyed:
        return Entry(Wanted(bytes.fromhex(key), reason, note), "", note)
    raise RowRefused(_("there is neither an address nor a domain in this row"))


def _write(session: Session, entries: list[Entry], actor: str, now: datetime) -> int:
    by_key = {entry.wanted.address_key: entry.wanted for entry in entries if entry.wanted is not None}
    added = bulk_suppression.suppress(session, list(by_key.values()), actor=actor, now=now) if by_key else 0
    return added + sum(domains.add(session, entry.domain, now=now, actor=actor, note=entry.note) for entry in entries if entry.domain)
