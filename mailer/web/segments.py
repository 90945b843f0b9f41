"""Segments: the list, the builder with a count of who fits and ten of them, where a segment is used, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, make_response, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.segments import CampaignSegment, Segment
from kairan.sql import TookTooLong
from mailer.audience import rules, segments
from mailer.audience.rules import Group, RuleRefused
from mailer.web import edge, segment_form, segment_words
from mailer.web.forms import Form
from mailer.web.segment_form import Box

blueprint = Blueprint("segments", __name__)
HOME = "/audience/segments"


@dataclass(frozen=True, slots=True)
class Counted:
    """Who fits. `state`: done; slow: its time was over; unfinished: the rule is not whole yet."""

    state: str
    members: int = 0
    sample: Sequence[Member] = ()
    is_patient: bool = False


@blueprint.get(HOME)
@edge.allowed("list.view")
def show_list() -> str:
    with edge.reading() as session:
        rows = segments.choices(session)
        used = select(CampaignSegment.segment_id, func.count(CampaignSegment.campaign_id.distinct())).group_by(CampaignSegment.segment_id)
        return render_template("admin/segments.html", segments=rows, used={number: count for number, count in session.execute(used)})


@blueprint.get(f"{HOME}/new")
@edge.allowed("list.edit")
def new() -> str:
    with edge.reading() as session:
        return _page(session, None, segment_form.new(), Form(None))


@blueprint.post(f"{HOME}/new")
@edge.allowed("list.edit")
def create() -> edge.Answer:
    return _written(None)


@blueprint.get(f"{HOME}/<int:segment_id>")
@edge.allowed("list.view")
def show(segment_id: int) -> str:
    with edge.reading() as session:
        row = _find(session, segment_id)
        form = Form(None, name=row.name, description=row.description)
        return _page(session, row, segment_form.of_rule(rules.read(row.rule)), form)


@blueprint.post(f"{HOME}/<int:segment_id>")
@edge.allowed("list.edit")
def change(segment_id: int) -> edge.Answer:
    return _written(segment_id)


def _find(session: Session, segment_id: int) -> Segment:
    try:
        return segments.get(session, segment_id)
    except segments.UnknownSegment:
        abort(404)


def _written(segment_id: int | None) -> edge.Answer:
    """Saves, or draws the form again after one of its buttons."""
    form, box = Form(request.form), segment_form.read(request.form)
    if form.raw("do") == "save":
        saved = _save(segment_id, form, box)
        if saved is not None:
            return edge.back_to(f"{HOME}/{saved}", _("Saved."))
    with edge.reading() as session:
        row = None if segment_id is None else _find(session, segment_id)
        if edge.is_fragment():
            answer = make_response(render_template("admin/_segment_builder.html", **_builder(session, row, box, form)))
            answer.headers["HX-Trigger"] = "built"
            return answer
        return _page(session, row, box, form), 200 if form.is_right else 422


def _save(segment_id: int | None, form: Form, box: Box) -> int | None:
    """The id, or None where something is wrong, which the form then says."""
    name = form.text("name", _("Name"))
    description = form.text("description", _("Description"), required=False, max_length=1_000, one_line=False)
    rule = segment_form.document(box)
    try:
        with edge.writing() as session:
            segments.checked(session, rule)
            if not form.is_right:
                return None
            if segment_id is None:
                row = segments.create(session, name, rule, description=description, now=edge.now())
            else:
                number = _find(session, segment_id).id
                row = segments.change(session, number, name=name, rule=rule, description=description, now=edge.now())
            edge.audit(session, "segment.create" if segment_id is None else "segment.change", row.id)
            return row.id
    except RuleRefused as refused:
        for fault in refused.faults:
            form.wrong(segment_form.field_of(box, fault), fault.message)
    except segments.NameTaken:
        form.wrong("name", _("There is a segment of this name already."))
    return None


def _builder(session: Session, row: Segment | None, box: Box, form: Form) -> dict[str, object]:
    return {
        "segment": row,
        "box": box,
        "form": form,
        "action": f"{HOME}/{row.id if row else 'new'}",
        "offered": segment_words.fields(session),
        "values": segment_words.values(session, box),
        "words": segment_words,
        "editable": edge.can("list.edit"),
    }


def _page(session: Session, row: Segment | None, box: Box, form: Form) -> str:
    patient = "patient" in (form.raw("do"), *request.args)
    return render_template(
        "admin/segment.html",
        **_builder(session, row, box, form),
        counted=_counted(session, box, patient=patient),
        used=segments.uses(session, row.id) if row else [],
    )


# ---- who fits


@blueprint.post(f"{HOME}/count")
@edge.allowed("list.edit")
def count() -> str:
    """The part of the page that says how many fit, as the form stands."""
    box = segment_form.read(request.form)
    with edge.reading() as session:
        counted = _counted(session, box, patient="patient" in request.args)
        return render_template("admin/_segment_count.html", counted=counted, editable=True)


def _counted(session: Session, box: Box, *, patient: bool) -> Counted:
    """`patient`: somebody waits for it; else the page shows itself first."""
    limit_s = segments.PATIENT_S if patient else segments.AT_ONCE_S
    try:
        rule = segments.checked(session, segment_form.document(box))
        members = segments.count(session, rule, edge.now(), limit_s=limit_s)
    except RuleRefused:
        return Counted("unfinished")
    except TookTooLong:
        return Counted("slow", is_patient=patient)
    sees = edge.can("member.view") and members
    return Counted("done", members, _sampled(session, rule, limit_s) if sees else (), patient)


def _sampled(session: Session, rule: Group, limit_s: float) -> Sequence[Member]:
    """None of them where even these take too long to find: the count is there."""
    try:
        return segments.sample(session, rule, edge.now(), limit_s=limit_s)
    except TookTooLong:
        return ()


# ---- the end


@blueprint.get(f"{HOME}/<int:segment_id>/delete")
@edge.allowed("list.edit")
def ask(segment_id: int) -> str:
    with edge.reading() as session:
        row = _find(session, segment_id)
        used = [campaign for campaign in segments.uses(session, segment_id) if campaign.status in segments.OPEN]
        return render_template("admin/segment_delete.html", segment=row, used=used)


@blueprint.post(f"{HOME}/<int:segment_id>/delete")
@edge.allowed("list.edit")
def delete(segment_id: int) -> edge.Answer:
    try:
        with edge.writing() as session:
            segments.archive(session, _find(session, segment_id).id, now=edge.now())
            edge.audit(session, "segment.delete", segment_id)
    except segments.InUse:
        return ask(segment_id), 409
    return edge.back_to(HOME, _("The segment is deleted."))
