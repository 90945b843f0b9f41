"""A recurring campaign: how often it goes out, what it sent, what comes next; changed, paused, ended."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, render_template, request
from sqlalchemy.orm import Session

from kairan import walltime
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, Series, SeriesState
from mailer.campaigns import schedule, series
from mailer.campaigns.lifecycle import MoveRefused
from mailer.campaigns.schedule import Plan
from mailer.web import campaign_queries, edge, when
from mailer.web.forms import Form

blueprint = Blueprint("campaign_series", __name__)
COMING = 5


@blueprint.get("/campaigns/series/<int:series_id>")
@edge.allowed("campaign.view")
def show(series_id: int) -> str:
    with edge.reading() as session:
        row, pattern = _found(session, series_id)
        plan, zone = _plan(row, pattern), ZoneInfo(row.zone)
        made = series.occurrences(session, series_id)
        return render_template(
            "admin/series.html",
            series=row,
            pattern=pattern,
            words=when.plan_words(plan, edge.now()),
            coming=[walltime.moment_of(wall, zone) for wall in series.coming(row, COMING)],
            missed=walltime.moment_of(walltime.read(row.missed_wall), zone) if row.missed_wall else None,
            made=made,
            results=campaign_queries.results(session, [campaign.id for campaign in made]),
        )


def _found(session: Session, series_id: int) -> tuple[Series, Campaign]:
    row = session.get(Series, series_id) or abort(404)
    return row, session.get_one(Campaign, row.pattern_id)


def _plan(row: Series, pattern: Campaign) -> Plan:
    return when.plan_of_series(row, schedule.plan_of(pattern, row.zone))


@blueprint.get("/campaigns/series/<int:series_id>/edit")
@edge.allowed("campaign.send")
def edit(series_id: int) -> edge.Answer:
    with edge.reading() as session:
        row, pattern = _found(session, series_id)
        return _edit_page(row, pattern, when.form_of(_plan(row, pattern)))


def _edit_page(row: Series, pattern: Campaign, form: Form) -> str:
    if row.state == SeriesState.ENDED:
        abort(409)
    return render_template(
        "admin/series_edit.html", series=row, pattern=pattern, form=form, when=when, zones=walltime.zones(), zone=row.zone
    )  # fmt: skip


@blueprint.post("/campaigns/series/<int:series_id>/edit")
@edge.allowed("campaign.send")
def save(series_id: int) -> edge.Answer:
    form = Form(request.form)
    plan = when.read(form, edge.now())
    if plan is None or plan.rule is None:
        with edge.reading() as session:
            return _edit_page(*_found(session, series_id), form), 422

    def change(session: Session, number: int, *, now: datetime) -> None:
        series.change(session, number, plan, now=now)

    return _move(series_id, change, "series.change", _("Saved. It holds from the next mail on that is not made yet."))


@blueprint.post("/campaigns/series/<int:series_id>/pause")
@edge.allowed("campaign.send")
def pause(series_id: int) -> edge.Answer:
    return _move(series_id, series.pause, "series.pause", _("Paused. No further mail is made; what is made already stays as it is."))


@blueprint.post("/campaigns/series/<int:series_id>/resume")
@edge.allowed("campaign.send")
def resume(series_id: int) -> edge.Answer:
    return _move(series_id, series.resume, "series.resume", _("It goes on with the next one."))


@blueprint.post("/campaigns/series/<int:series_id>/end")
@edge.allowed("campaign.send")
def end(series_id: int) -> edge.Answer:
    return _move(series_id, series.end, "series.end", _("Ended. What is made already stays as it is."))


def _move(series_id: int, act: Callable[..., Any], action: str, message: str) -> edge.Answer:
    path = f"/campaigns/series/{series_id}"
    try:
        with edge.writing() as session:
            if session.get(Series, series_id) is None:
                abort(404)
            act(session, series_id, now=edge.now())
            edge.audit(session, action, series_id)
    except MoveRefused:
        return edge.back_to(path, _("That is not possible now: somebody changed the series in between."), "warn")
    return edge.back_to(path, message)
