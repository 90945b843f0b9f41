"""Whole domains on the suppression list, and files of addresses that are put on it."""

from flask import Blueprint, abort, render_template, request
from sqlalchemy import select

from kairan import addresses, jobs
from kairan.i18n import gettext as _
from kairan.models.jobs import Job
from kairan.models.suppression import SuppressedDomain
from mailer.audience import csv_import, suppression_import
from mailer.web import edge
from mailer.web.forms import Form
from mailer.web.imports import REQUEST_MAX_BYTES
from mailer.web.suppressions import PATH, actors, me, tabs
from unsubscribe import domains
from unsubscribe.waiting import wait_out

blueprint = Blueprint("suppression_files", __name__)
LAST = 5


@blueprint.get(f"{PATH}/domains")
@edge.allowed("suppression.view")
def show_domains() -> str:
    return _domains_page(None)


def _domains_page(form: Form | None, *, asked: str = "", members: int = 0) -> str:
    """`asked`: the domain that is to be suppressed, of so many members; it is asked again before it is."""
    with edge.reading() as session:
        rows, following = domains.page(session, after=request.args.get("after", "")[:253])
        return render_template(
            "admin/suppressed_domains.html", rows=rows, next=following, form=form, asked=asked, members=members,
            actors=actors(session, (row.actor for row in rows)), tabs=tabs(session, "domains"),
        )  # fmt: skip


@blueprint.post(f"{PATH}/domains")
@edge.allowed("suppression.edit")
def add_domain() -> edge.Answer:
    form = Form(request.form)
    domain = form.text("domain", _("Domain"), max_length=254)
    note = form.text("note", _("Reason"), required=False, max_length=500)
    if form.is_right:
        try:
            found = addresses.domain(domain)
        except addresses.AddressError:
            form.wrong("domain", _("This is not a domain. It looks like example.org."))
    if not form.is_right:
        return _domains_page(form), 422
    if not form.yes("seen"):
        with edge.reading() as session:
            members = domains.members_at(session, domain)
        return _domains_page(form, asked=found.written, members=members)
    with edge.writing() as session:
        added = domains.add(session, domain, now=edge.now(), actor=me(), note=note)
        edge.audit(session, "suppression.domain.add")
    wait_out(edge.runtime().database)
    message = _("No address of this domain gets mail any more.") if added else _("This domain was on the list already.")
    return edge.back_to(f"{PATH}/domains", message, "ok" if added else "info")


@blueprint.post(f"{PATH}/domains/release")
@edge.allowed("suppression.edit")
def release_domain() -> edge.Answer:
    with edge.writing() as session:
        found = session.get(SuppressedDomain, request.form.get("domain", "")) or abort(404)
        domains.release(session, found.domain)
        edge.audit(session, "suppression.domain.release")
    return edge.back_to(f"{PATH}/domains", _("The domain is off the list."))


# ---- import


@blueprint.get(f"{PATH}/import")
@edge.allowed("suppression.edit")
def show_import() -> str:
    return _import_page(None)


def _import_page(form: Form | None) -> str:
    with edge.reading() as session:
        query = select(Job).where(Job.kind == suppression_import.KIND).order_by(Job.id.desc()).limit(LAST)
        return render_template(
            "admin/suppression_import.html", form=form, jobs=list(session.scalars(query)), tabs=tabs(session, "import")
        )  # fmt: skip


@blueprint.post(f"{PATH}/import")
@edge.allowed("suppression.edit", max_bytes=REQUEST_MAX_BYTES)
def start_import() -> edge.Answer:
    form = Form(request.form)
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        form.wrong("file", _("Choose a CSV file."))
        return _import_page(form), 422
    ground = edge.runtime()
    with edge.writing() as session:
        source = (upload.filename or "")[-120:]
        job = suppression_import.start(session, actor=me(), by=edge.signed_in().id, now=edge.now(), source=source)
        edge.audit(session, "suppression.import", job.id)
    try:
        csv_import.store_upload(ground, job, iter(lambda: upload.stream.read(csv_import.PIECE_BYTES), b""))
    except csv_import.UploadTooLarge:
        form.wrong(
            "file", _("The file is larger than %(max)s MB. Split it and import the parts.", max=csv_import.UPLOAD_MAX_BYTES // 2**20)
        )
        return _import_page(form), 422
    edge.ring(lambda: jobs.ring(ground, job.id, job.kind))
    return edge.back_to(f"/jobs/{job.id}")
