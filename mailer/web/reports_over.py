"""All campaigns: a table with the columns one wants, some of them side by side, their trend, and the audience they go to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from flask import Blueprint, abort, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.i18n import lazy_gettext
from kairan.models.audience import List, Member
from mailer.reports import audience_figures, best_hour, over, summary
from mailer.reports.over import CampaignResult, Choice
from mailer.web import campaign_queries, edge, over_charts, report_curves

blueprint = Blueprint("reports_over", __name__)
_ = lazy_gettext
PAGE = 25
COMPARED_MAX = 6


@dataclass(frozen=True, slots=True)
class Column:
    title: Any
    value: Callable[[CampaignResult], Any]
    is_share: bool = False
    digits: int = 1


COLUMNS = {
    "accepted": Column(_("Accepted"), lambda row: row.accepted),
    "open_rate": Column(_("Opened or previewed"), lambda row: row.open_rate, is_share=True),
    "click_rate": Column(_("Clicked"), lambda row: row.click_rate, is_share=True),
    "click_to_open": Column(_("Clicked, of those who opened"), lambda row: row.click_to_open, is_share=True),
    "unsubscribe_rate": Column(_("Unsubscribed"), lambda row: row.unsubscribe_rate, is_share=True, digits=2),
    "reject_rate": Column(_("Rejected"), lambda row: row.reject_rate, is_share=True, digits=2),
    "audience": Column(_("Audience"), lambda row: row.audience),
    "openers": Column(_("Members who opened"), lambda row: row.openers),
    "clickers": Column(_("Members who clicked"), lambda row: row.clickers),
    "opens": Column(_("Opens by people, every time"), lambda row: row.opens),
    "clicks": Column(_("Clicks by people, every time"), lambda row: row.clicks),
    "machines": Column(_("Fetched by a machine"), lambda row: row.machines),
    "complained": Column(_("Reported as spam"), lambda row: row.complained),
    "uncertain": Column(_("Uncertain"), lambda row: row.uncertain),
}
USUAL = ("accepted", "open_rate", "click_rate", "unsubscribe_rate")


@blueprint.get("/reports")
@edge.allowed("report.view")
def reports() -> str:
    columns = [name for name in request.args.getlist("column") if name in COLUMNS] or list(USUAL)
    sort, down = _sorted_by()
    place = max(request.args.get("page", 1, type=int), 1)
    with edge.reading() as session:
        rows = over.results(session, over.chosen(session, _choice()))
        ordered = sorted(rows, key=lambda row: _key(row, sort), reverse=down)
        shown = ordered[(place - 1) * PAGE : place * PAGE]
        best, worst = over.links(session, rows[:PAGE])
        lists = list(session.execute(select(List.id, List.name).order_by(List.name)).all())
        names = campaign_queries.list_names(session, [row.id for row in shown])
    return render_template(
        "admin/reports.html", rows=shown, total=len(rows), place=place, pages=-(-len(rows) // PAGE), columns=columns, all_columns=COLUMNS,
        sort=sort, down=down, lists=lists, names=names, best=best, worst=worst, most=over.CAMPAIGNS_MAX,
        trend=over_charts.trend(rows), hours=over_charts.hours(best_hour.find(rows, edge.zone())), tab="campaigns",
    )  # fmt: skip


def _choice() -> Choice:
    """From the address; a date that is none is no limit."""
    since, until = _day("since"), _day("until")
    return Choice(since, until + timedelta(days=1) if until else None, request.args.get("list", type=int))


def _day(name: str) -> datetime | None:
    try:
        day = datetime.strptime(request.args.get(name, ""), "%Y-%m-%d").date()
    except ValueError:
        return None
    return datetime.combine(day, time(), edge.zone())


def _sorted_by() -> tuple[str, bool]:
    given = request.args.get("sort", "-started_at")
    name = given.removeprefix("-")
    return (name, given.startswith("-")) if name in COLUMNS or name in ("started_at", "name") else ("started_at", True)


def _key(row: CampaignResult, name: str) -> tuple[bool, Any]:
    """What has no value stands below what has one."""
    value = COLUMNS[name].value(row) if name in COLUMNS else getattr(row, name)
    return value is not None, value if value is not None else 0


@blueprint.get("/reports/compare")
@edge.allowed("report.view")
def compare() -> edge.Answer:
    ids = tuple(dict.fromkeys(request.args.getlist("id", type=int)))[:COMPARED_MAX]
    with edge.reading() as session:
        rows = over.results(session, over.chosen(session, Choice(ids=ids))) if ids else []
        curves = [(row, report_curves.first_hours(row.started_at, summary.by_hour(session, row.id))) for row in rows]
    if len(ids) == 1 and not rows:
        abort(404)
    return render_template(
        "admin/reports_compare.html", rows=rows, all_columns=COLUMNS, chart=over_charts.beside(curves), most=COMPARED_MAX, tab="campaigns"
    )


@blueprint.get("/reports/audience")
@edge.allowed("report.view")
def audience() -> str:
    with edge.reading() as session:
        members = session.scalar(select(func.count(Member.id))) or 0
        figures, as_of = _audience(session, members)
    shown: dict[str, Any] = {}
    if figures is not None:
        shown = {"growth": over_charts.growth(figures["growth"]), "groups": over_charts.groups(figures["groups"])}
    days = (audience_figures.ACTIVE_DAYS, audience_figures.ASLEEP_DAYS, audience_figures.MAILS_MIN)
    return render_template(
        "admin/reports_audience.html",
        figures=figures,
        as_of=as_of,
        members=members,
        tab="audience",
        month=over_charts.month,
        days=days,
        **shown,
    )


def _audience(session: Session, members: int) -> tuple[dict[str, Any] | None, datetime | None]:
    """Counted now where that takes a moment, else as the background counted it last; None: not yet."""
    if members <= audience_figures.SMALL:
        return audience_figures.count(session, edge.now()), edge.now()
    kept = audience_figures.stored(session)
    return (kept.value, kept.as_of) if kept else (None, None)
