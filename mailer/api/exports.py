"""Exports by API: asked for with POST, worked by a job, its file fetched for a day by the token that asked."""

from datetime import datetime
from typing import Annotated, Literal

from flask import Response
from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from kairan import jobs
from kairan.i18n import gettext as _
from kairan.models.audience import List
from kairan.models.campaigns import Campaign
from kairan.models.jobs import Job
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.imports import JobStarted
from mailer.api.problems import missing, wrong
from mailer.api.shapes import Given, Id, Shown
from mailer.reports import export, export_files
from mailer.reports import jobs as export_jobs
from mailer.reports.export import FORMATS, SOURCES, Scope, Wanted

Saying = Annotated[str, StringConstraints(strip_whitespace=True, max_length=export.TEXT_MAX)]


class ExportAsked(Given):
    """`purpose` and `recipient`: what personal data is for and who gets it; without them the token's own. `columns`: none means all."""

    what: Literal["members", "deliveries", "events", "links", "campaigns", "suppressions"]
    format: Literal["csv", "xlsx", "parquet", "jsonl"] = "csv"
    columns: Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(default_factory=list, max_length=500)]
    campaign: Id | None = None
    list: Id | None = None
    type: Literal["open", "click"] | None = None
    spreadsheet: bool = False
    purpose: Saying = ""
    recipient: Saying = ""


class ExportShown(Shown):
    """`file`: where it is to be had until `ends_at`."""

    id: str
    what: str
    format: str
    state: str
    done: int
    total: int | None
    failure: str | None
    size: int | None
    file: str | None
    ends_at: datetime | None


@operation("POST", "/exports", "report.view", {202: JobStarted}, body=ExportAsked)
def start(call: Call, body: ExportAsked) -> Answer:
    """Begins an export; the file is made by a job. Members need the action member.export, deliveries and events events.export."""
    call.demand(SOURCES[body.what].action)
    with call.effect() as session:
        job = _job(call, session, body)
        call.then_ring(lambda: jobs.ring(call.ground, job.id, job.kind))
        return call.say(202, JobStarted(job=str(job.id)), Location=f"/api/v1/exports/{job.id}")


def _job(call: Call, session: Session, body: ExportAsked) -> Job:
    for name, model, given in (("campaign", Campaign, body.campaign), ("list", List, body.list)):
        if given is not None and session.get(model, given) is None:
            raise wrong(name, _("There is none with this id."))
    wanted = Wanted(
        body.what, body.format, tuple(body.columns), Scope(body.campaign, body.list, body.type), body.spreadsheet,
        mask=not call.may("member.address"),
    )  # fmt: skip
    purpose, recipient = saying(call, body.purpose, body.recipient)
    try:
        return export_jobs.start(session, wanted, actor=call.actor, now=call.now, purpose=purpose, recipient=recipient)
    except export.MissingPurpose as unsaid:
        raise wrong(unsaid.field, _("Say what the data is for and who gets it.")) from None
    except export.MissingExtra as lacking:
        raise wrong("format", str(lacking)) from None
    except export.UnknownColumn:
        raise wrong("columns", _("There is no such column.")) from None


def saying(call: Call, purpose: str, recipient: str) -> tuple[str, str]:
    """What the call says, else the token."""
    defaults = (call.token.purpose, call.token.recipient) if call.token else (None, None)
    return purpose or defaults[0] or "", recipient or defaults[1] or ""


@operation("GET", "/exports/{job_id}", "report.view", {200: ExportShown}, problems=(404,))
def show(call: Call, job_id: int) -> Answer:
    """How far an export is, and where its file is once it is done."""
    with call.reading() as session:
        job = _own(call, session, job_id)
    end = export_files.ends_at(job)
    is_there = end is not None and end > call.now
    shown = ExportShown(
        id=str(job.id), what=job.arguments["what"], format=job.arguments["format"], state=job.state, done=job.done, total=job.total,
        failure=job.failure, size=job.result.get("size"), file=f"/api/v1/exports/{job.id}/file" if is_there else None, ends_at=end,
    )  # fmt: skip
    return call.say(200, shown)


@operation("GET", "/exports/{job_id}/file", "report.view", {200: "application/octet-stream"}, problems=(404,))
def file(call: Call, job_id: int) -> Response:
    """The file of an export, for the token that asked for it and administrators, for 24 hours."""
    with call.effect() as session:
        job = _own(call, session, job_id)
        try:
            pieces = export_files.read(call.ground, job, call.now)
        except export_files.Gone:
            raise missing() from None
        call.audit(session, "export.download", job_id)
    name = Wanted.of({key: job.arguments[key] for key in Wanted.__dataclass_fields__}).file_name
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(job.result["size"])}
    return Response(pieces, content_type=FORMATS[job.arguments["format"]].media_type, headers=headers)


@operation("POST", "/exports/{job_id}/cancel", "report.view", {204: None}, problems=(404,))
def cancel(call: Call, job_id: int) -> Answer:
    """Ends an export; what it has written is gone."""
    with call.effect() as session:
        jobs.cancel(session, _own(call, session, job_id), call.now)
        call.audit(session, "export.cancel", job_id)
        return call.say(204)


def _own(call: Call, session: Session, job_id: int) -> Job:
    """Raises Problem for one of somebody else, as for one that is not there."""
    job = session.get(Job, job_id)
    if job is None or call.token is None or not export_jobs.may_fetch(job, call.actor, call.token.role):
        raise missing()
    return job
