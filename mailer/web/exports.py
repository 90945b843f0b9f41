"""Exports by page: what, in which format, with which columns, and for personal data why and to whom; then a job and its file."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from flask import Blueprint, abort, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import jobs as background
from kairan.i18n import gettext as _
from kairan.i18n import lazy_gettext
from kairan.models.audience import List
from kairan.models.campaigns import Campaign
from kairan.models.jobs import Job
from mailer.reports import export, export_files
from mailer.reports import jobs as export_jobs
from mailer.reports.export import FORMATS, SOURCES, Scope, Wanted
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("exports", __name__)
WHAT = {
    "events": (
        lazy_gettext("Events"),
        lazy_gettext("Every opening and click, one line each: when, which member, which link, by a person or a machine."),
    ),
    "deliveries": (lazy_gettext("Each delivery"), lazy_gettext("One line for each recipient: what became of the mail and what they did.")),
    "links": (lazy_gettext("Links"), lazy_gettext("Each link position with its clicks. No personal data.")),
    "campaigns": (lazy_gettext("Campaigns"), lazy_gettext("The figures of each campaign side by side. No personal data.")),
    "suppressions": (
        lazy_gettext("Suppression list"),
        lazy_gettext("One line for each address and domain that gets no mail: why, since when, by whom. It can be imported again."),
    ),
    "members": (lazy_gettext("Members"), lazy_gettext("One line for each member, with lists and further fields.")),
}  # fmt: skip
"""what → (name, what stands in the file)"""
FORMAT_NAMES = {
    "xlsx": lazy_gettext("Excel (XLSX): dates and numbers as such"),
    "csv": lazy_gettext("CSV for spreadsheets"),
    "parquet": lazy_gettext("Parquet: for pandas, DuckDB and the like"),
    "jsonl": lazy_gettext("JSON Lines: for programs"),
}
OF_CAMPAIGN = ("events", "deliveries", "links")


@blueprint.get("/campaigns/<int:campaign_id>/export")
@edge.allowed("report.view")
def ask(campaign_id: int) -> str:
    return _page(_what(OF_CAMPAIGN), Scope(campaign_id=campaign_id), None)


@blueprint.post("/campaigns/<int:campaign_id>/export")
@edge.allowed("report.view")
def export_campaign(campaign_id: int) -> edge.Answer:
    return _start(_what(OF_CAMPAIGN), Scope(campaign_id=campaign_id))


@blueprint.get("/audience/members/export")
@edge.allowed("member.export")
def ask_members() -> str:
    return _page("members", _list_scope(), None)


@blueprint.post("/audience/members/export")
@edge.allowed("member.export")
def export_members() -> edge.Answer:
    return _start("members", _list_scope())


@blueprint.get("/audience/suppressions/export")
@edge.allowed("member.export")
def ask_suppressions() -> str:
    return _page("suppressions", Scope(), None)


@blueprint.post("/audience/suppressions/export")
@edge.allowed("member.export")
def export_suppressions() -> edge.Answer:
    return _start("suppressions", Scope())


@blueprint.get("/reports/export")
@edge.allowed("report.view")
def ask_campaigns() -> str:
    return _page(_what(("campaigns", "links")), Scope(), None)


@blueprint.post("/reports/export")
@edge.allowed("report.view")
def export_campaigns() -> edge.Answer:
    return _start(_what(("campaigns", "links")), Scope())


def _what(choices: tuple[str, ...]) -> str:
    """Which of them the address asks for; the first that the person may have without one."""
    may = [what for what in choices if edge.can(SOURCES[what].action)]
    what = request.args.get("what") or may[0]
    if what not in choices:
        abort(404)
    edge.demand(SOURCES[what].action)
    return what


def _list_scope() -> Scope:
    given = request.args.get("list", "")
    return Scope(list_id=int(given) if given.isdigit() and len(given) < 19 else None)


# ---- the form


def _page(what: str, scope: Scope, form: Form | None) -> str:
    with edge.reading() as session:
        columns = [column.name for column in SOURCES[what].columns(session)]
        owner, back = _owner(session, what, scope)
    chosen = request.form.getlist("columns") if form else columns
    tabs = _tabs(what, scope)
    return render_template(
        "admin/export.html", what=what, form=form, columns=columns, chosen=chosen, owner=owner, back=back, tabs=tabs,
        name=WHAT[what][0], says=WHAT[what][1], is_personal=SOURCES[what].is_personal,
        formats=[(key, str(name)) for key, name in FORMAT_NAMES.items()],
    )  # fmt: skip


def _owner(session: Session, what: str, scope: Scope) -> tuple[str, str]:
    """(name, address) of the page that the export belongs to."""
    if scope.campaign_id is not None:
        campaign = session.get(Campaign, scope.campaign_id) or abort(404)
        return campaign.name, f"/campaigns/{campaign.id}"
    if what == "suppressions":
        return _("Suppression list"), "/audience/suppressions"
    if what != "members":
        return _("Reports"), "/reports"
    if scope.list_id is None:
        return _("Members"), "/audience/members"
    chosen = session.get(List, scope.list_id) or abort(404)
    return chosen.name, f"/audience/lists/{chosen.id}"


def _tabs(what: str, scope: Scope) -> list[tuple[str, str, None, bool]]:
    if what in ("members", "suppressions"):
        return []
    choices = OF_CAMPAIGN if scope.campaign_id is not None else ("campaigns", "links")
    may = [name for name in choices if edge.can(SOURCES[name].action)]
    return [(f"{request.path}?what={name}", str(WHAT[name][0]), None, name == what) for name in may]


def _start(what: str, scope: Scope) -> edge.Answer:
    form = Form(request.form)
    wanted = Wanted(
        what,
        form.choice("format", _("Format"), FORMATS),
        tuple(request.form.getlist("columns")),
        scope,
        spreadsheet=True,
        mask=not edge.can("member.address"),
    )
    why = _why(form) if SOURCES[what].is_personal else {}
    if not wanted.columns:
        form.wrong("columns", _("Choose at least one column."))
    job = _job(form, wanted, why) if form.is_right else None
    if job is None:
        return _page(what, scope, form), 422
    edge.ring(lambda: background.ring(edge.runtime(), job.id, job.kind))
    return edge.back_to(f"/jobs/{job.id}")


def _why(form: Form) -> dict[str, str]:
    return {
        "purpose": form.text("purpose", _("Purpose of the export"), max_length=export.TEXT_MAX),
        "recipient": form.text("recipient", _("Who gets it"), max_length=export.TEXT_MAX),
    }


def _job(form: Form, wanted: Wanted, why: dict[str, str]) -> Job | None:
    """None where the form is wrong after all."""
    person = edge.signed_in()
    try:
        with edge.writing() as session:
            _owner(session, wanted.what, wanted.scope)
            return export_jobs.start(session, wanted, actor=_actor(), by=person.id, now=edge.now(), **why)
    except export.MissingExtra as missing:
        form.wrong("format", str(missing))
    except export.UnknownColumn:
        form.wrong("columns", _("Choose at least one column."))
    return None


def _actor() -> str:
    return f"account:{edge.signed_in().id}"


# ---- the job and its file


@blueprint.post("/jobs/<int:job_id>/cancel")
@edge.allowed("job.view")
def cancel(job_id: int) -> Response:
    with edge.writing() as session:
        job = _own(session, job_id)
        background.cancel(session, job, edge.now())
        edge.audit(session, "export.cancel", job_id)
    return edge.back_to(f"/jobs/{job_id}")


@blueprint.get("/jobs/<int:job_id>/file")
@edge.allowed("job.view")
def download(job_id: int) -> Response:
    """For who asked for it, and administrators; each download stands in the audit log."""
    with edge.writing() as session:
        job = _own(session, job_id)
        try:
            pieces = export_files.read(edge.runtime(), job, edge.now())
        except export_files.Gone:
            abort(404)
        edge.audit(session, "export.download", job_id)
        return file_response(job, pieces)


def _own(session: Session, job_id: int) -> Job:
    job = session.get(Job, job_id)
    if job is None or not export_jobs.may_fetch(job, _actor(), edge.signed_in().role):
        abort(404)
    return job


def file_response(job: Job, pieces: Iterator[bytes]) -> Response:
    name = quote(Wanted.of({key: job.arguments[key] for key in Wanted.__dataclass_fields__}).file_name)
    headers: dict[str, Any] = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(job.result["size"]),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(pieces, content_type=FORMATS[job.arguments["format"]].media_type, headers=headers)
