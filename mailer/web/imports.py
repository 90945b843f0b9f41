"""CSV import: upload, then a background job whose page shows progress and result."""

from datetime import UTC, datetime, time

from flask import Blueprint, render_template, request
from sqlalchemy import select
from werkzeug.datastructures import FileStorage

from kairan import jobs
from kairan.i18n import gettext as _
from kairan.models.audience import List
from kairan.models.jobs import Job
from mailer.audience import csv_import
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("imports", __name__)
REQUEST_MAX_BYTES = csv_import.UPLOAD_MAX_BYTES + 2**20
"""the file and the form around it"""
LAST = 12


@blueprint.get("/audience/imports")
@edge.allowed("member.import")
def show() -> str:
    return _page(None)


def _page(form: Form | None) -> str:
    with edge.reading() as session:
        lists = [(row.id, row.name) for row in session.scalars(select(List).where(List.archived_at.is_(None)).order_by(List.name))]
        jobs = list(session.scalars(select(Job).where(Job.kind == "import").order_by(Job.id.desc()).limit(LAST)))
    return render_template("admin/imports.html", lists=lists, jobs=jobs, form=form, chosen=request.args.get("list", ""))


@blueprint.post("/audience/imports")
@edge.allowed("member.import", max_bytes=REQUEST_MAX_BYTES)
def start() -> edge.Answer:
    form = Form(request.form)
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        form.wrong("file", _("Choose a CSV file."))
    with edge.reading() as session:
        known = {str(number) for number in session.scalars(select(List.id).where(List.archived_at.is_(None)))}
    chosen = form.choice("list", _("List"), known)
    consent = form.text("consent", _("Consent"), required=False, max_length=5000, one_line=False)
    consent_at = _day(form)
    if not form.is_right or upload is None:
        return _page(form), 422
    try:
        job_id = _receive(int(chosen), consent, consent_at, upload)
    except csv_import.UploadTooLarge:
        size_mb = csv_import.UPLOAD_MAX_BYTES // 2**20
        form.wrong("file", _("The file is larger than %(max)s MB. Split it and import the parts.", max=size_mb))
        return _page(form), 422
    with edge.writing() as session:
        edge.audit(session, "member.import", job_id, list=int(chosen))
    return edge.back_to(f"/jobs/{job_id}")


def _receive(list_id: int, consent: str, consent_at: datetime | None, upload: FileStorage) -> int:
    """Stores the file and rings whoever works it; the row is there even if the bell is not heard."""
    ground = edge.runtime()
    with edge.writing() as session:
        job = csv_import.start_import(
            session,
            list_id=list_id,
            consent=consent or None,
            consent_at=consent_at,
            by=edge.signed_in().id,
            now=edge.now(),
            source=(upload.filename or "")[-120:],
        )
    csv_import.store_upload(ground, job, iter(lambda: upload.stream.read(csv_import.PIECE_BYTES), b""))
    edge.ring(lambda: jobs.ring(ground, job.id, job.kind))
    return int(job.id)


def _day(form: Form) -> datetime | None:
    """Noon of the day in the person's zone: the day stays the same in every zone it is shown in, nearly."""
    if not form.raw("consent_at"):
        return None
    try:
        day = datetime.fromisoformat(form.raw("consent_at")).date()
    except ValueError:
        form.wrong("consent_at", _("Enter a date."))
        return None
    moment = datetime.combine(day, time(12), edge.zone()).astimezone(UTC)
    if moment.date() > edge.now().date():
        form.wrong("consent_at", _("This day is still to come."))
    return min(moment, edge.now())
