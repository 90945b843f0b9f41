"""Background jobs: what runs, how far it is, how it ended, and the files it left."""

from collections.abc import Iterator

from flask import Blueprint, abort, render_template, stream_with_context
from sqlalchemy import select, update
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.models.jobs import Job, JobFile, JobState
from mailer.web import edge, paging

blueprint = Blueprint("jobs", __name__)
ACTIVE = (JobState.QUEUED, JobState.RUNNING)


@blueprint.get("/jobs")
@edge.allowed("job.view")
def show_list() -> str:
    query = select(Job).order_by(Job.id.desc()).limit(paging.SIZE + 1)
    if paging.after():
        query = query.where(Job.id < paging.after())
    with edge.reading() as session:
        page = paging.page(list(session.scalars(query)), lambda job: job.id)
    return render_template("admin/jobs.html", page=page, is_moving=any(job.state in ACTIVE for job in page.rows))


@blueprint.get("/jobs/<int:job_id>")
@edge.allowed("job.view")
def show(job_id: int) -> str:
    with edge.reading() as session:
        job = session.get(Job, job_id) or abort(404)
        files = list(session.scalars(select(JobFile.name).where(JobFile.job_id == job_id).distinct().order_by(JobFile.name)))
    page = "admin/_job.html" if edge.is_fragment() else "admin/job.html"
    return render_template(page, job=job, files=files, is_moving=job.state in ACTIVE)


@blueprint.post("/jobs/<int:job_id>/cancel")
@edge.allowed("member.import")
def cancel(job_id: int) -> edge.Answer:
    with edge.writing() as session:
        session.execute(update(Job).where(Job.id == job_id, Job.state.in_(ACTIVE)).values(cancel_asked=True))
        edge.audit(session, "job.cancel", job_id)
    return edge.back_to(f"/jobs/{job_id}", _("It stops after the piece it is working on. What is done stays done."), "info")


@blueprint.get("/jobs/<int:job_id>/rejected.csv")
@edge.allowed("member.import")
def rejected(job_id: int) -> Response:
    """The rows that were refused, with line and reason, to put right and import again."""
    with edge.reading() as session:
        if session.get(JobFile, (job_id, "rejected", 0)) is None:
            abort(404)
    return Response(
        stream_with_context(_pieces(job_id, "rejected")),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="rejected-{job_id}.csv"'},
    )


def _pieces(job_id: int, name: str) -> Iterator[bytes]:
    piece = 0
    while True:
        with edge.reading() as session:
            row = session.get(JobFile, (job_id, name, piece))
        if row is None:
            return
        yield row.data
        piece += 1
