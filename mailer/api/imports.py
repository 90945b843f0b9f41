"""A member file by API: streamed into the database as it arrives, worked by a job, whose progress is shown here too."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from flask import Request, request
from pydantic import AfterValidator, StringConstraints
from werkzeug.exceptions import ClientDisconnected

from kairan import installation, jobs
from kairan.i18n import gettext as _
from kairan.models.jobs import Job
from mailer.api.calls import Call, operation, ring
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, missing, wrong_parameter
from mailer.api.shapes import Given, Id, Shown
from mailer.audience import csv_import

MEDIA_TYPE = "text/csv"
CHUNK_BYTES = 256 * 1024


class BrokenOff(Exception):
    """The body ended before the length it was announced with."""


def _moment(value: str) -> str:
    """Raises ValueError."""
    value = value[:11] + value[11:].replace(" ", "+")  # a `+` of a zone that was not escaped
    try:
        _day(value) or _time(value)
    except (ValueError, OverflowError):
        raise ValueError(_("This must be a day or a time, such as 2026-11-24 or 2026-11-24T09:00:00Z.")) from None
    return value


def _day(value: str) -> date | None:
    return date.fromisoformat(value) if len(value) <= 10 else None


def _time(value: str) -> datetime:
    """In UTC; without a zone it is in UTC."""
    found = datetime.fromisoformat(value)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


class ImportQuery(Given):
    list: Id
    consent: Annotated[str, StringConstraints(strip_whitespace=True, max_length=5_000)] = ""
    consent_at: Annotated[str, StringConstraints(max_length=40), AfterValidator(_moment)] | None = None


class JobStarted(Shown):
    job: str


class JobShown(Shown):
    id: str
    kind: str
    state: str
    done: int
    total: int | None
    errors: int
    failure: str | None
    created_at: datetime
    ended_at: datetime | None


@operation("POST", "/members/import", "member.import", {202: JobStarted}, body=MEDIA_TYPE, query=ImportQuery, problems=(409, 411))
def start(call: Call, query: ImportQuery) -> Answer:
    """Imports a CSV file into a list; `consent` is the source and wording that its rows agreed to.

    An Idempotency-Key stands for method, path, query and Content-Length here: the body is not kept to be compared.
    """
    check_upload()
    with call.long_effect():
        job = _job(call, query)
        try:
            csv_import.store_upload(call.ground, job, chunks(request))
        except csv_import.UploadTooLarge:
            raise too_large() from None
        except (BrokenOff, ClientDisconnected, OSError):
            raise Problem(400, csv_import.broken_off()) from None
        except jobs.JobTaken:
            raise Problem(400, csv_import.broken_off()) from None
        call.say(202, JobStarted(job=str(job.id)), Location=f"/api/v1/jobs/{job.id}")
    ring(lambda: jobs.ring(call.ground, job.id, job.kind))
    return call.answer


def check_upload() -> None:
    """Raises Problem for a body that is no file, or whose end could not be told."""
    if request.mimetype != MEDIA_TYPE:
        raise Problem(415, _("Send the file with the header “Content-Type: text/csv”."))
    if request.content_length is None:
        # A chunked body that breaks off looks to us like one that ended: the server does not tell them apart.
        raise Problem(411, _("Send the file with its Content-Length, so that an upload that breaks off is noticed."))


def too_large() -> Problem:
    size_mb = csv_import.UPLOAD_MAX_BYTES // (1 << 20)
    return Problem(413, _("The file is larger than %(max)s MB. Split it and import the parts.", max=size_mb))


def _job(call: Call, query: ImportQuery) -> Job:
    with call.ground.writing() as session:
        agreed_at = _agreed_at(query.consent_at, str(installation.get(session, "time_zone")), call.now)
        try:
            job = csv_import.start_import(
                session, list_id=query.list, consent=query.consent or None, consent_at=agreed_at, by=None, now=call.now, source="API"
            )
        except csv_import.UnknownList:
            raise wrong_parameter("list", _("There is no such list.")) from None
        except csv_import.ConsentInFuture:
            raise wrong_parameter("consent_at", _("This is still to come.")) from None
        call.audit(session, "member.import", job.id, list=query.list)
    return job


def _agreed_at(given: str | None, zone: str, now: datetime) -> datetime | None:
    """A day is its noon in the installation's zone, so that it stays the same day nearly everywhere."""
    if given is None:
        return None
    day = _day(given)
    if day is None:
        return _time(given)
    moment = datetime.combine(day, time(12), ZoneInfo(zone)).astimezone(UTC)
    return min(moment, now) if day == now.astimezone(ZoneInfo(zone)).date() else moment


def chunks(given: Request) -> Iterator[bytes]:
    """The body as it comes. Raises BrokenOff at a wrong end, RequestEntityTooLarge."""
    size = 0
    while chunk := given.stream.read(CHUNK_BYTES):
        size += len(chunk)
        yield chunk
    if size != given.content_length or not size:
        raise BrokenOff


@operation("GET", "/jobs/{job_id}", "job.view", {200: JobShown}, problems=(404,))
def show_job(call: Call, job_id: int) -> Answer:
    """How far a job is: rows done, of how many, and how many were refused."""
    with call.reading() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise missing()
        return call.say(200, JobShown.model_validate({**{name: getattr(job, name) for name in JobShown.model_fields}, "id": str(job.id)}))
