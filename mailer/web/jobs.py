"""Background jobs: what runs, how far it is, how it ended, and the files it left."""

from flask import Blueprint, abort, render_template
from sqlalchemy import select
from werkzeug.wrappers import Response

from kairan.models.jobs import Job, JobFile, JobState
from mailer.audience import csv_import
from mailer.reports import export_files
from mailer.reports import jobs as export_jobs
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
    me = edge.signed_in()
    ends_at = export_files.ends_at(job)
    return render_template(
        page,
        job=job,
        files=files,
        is_moving=job.state in ACTIVE,
        is_mine=export_jobs.may_fetch(job, f"account:{me.id}", me.role),
        ends_at=ends_at,
        is_over=ends_at is not None and ends_at <= edge.now(),
    )


@blueprint.get("/jobs/<int:job_id>/rejected.csv")
@edge.allowed("member.import")
def rejected(job_id: int) -> Response:
    """The rows that were refused, with line and reason, to put right and import again."""
    with edge.reading() as session:
        if session.get(JobFile, (job_id, csv_import.REJECTED, 0)) is None:
            abort(404)
    return Response(
        csv_import.read_rejected(edge.runtime(), job_id),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="rejected-{job_id}.csv"'},
    )
