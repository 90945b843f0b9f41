"""Settings of opens and clicks: what was not recorded and why, what tells countries, and the sites with the website beacon."""

import re
import secrets
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask import Blueprint, abort, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.i18n import lazy_gettext, number
from kairan.models.events import IngestCount
from kairan.models.webhooks import Site, SiteVisits
from mailer.reports import charts
from mailer.reports.charts import Series
from mailer.web import edge
from mailer.web.forms import Form
from tracking import networks

blueprint = Blueprint("tracking_settings", __name__)
HERE = "/settings/tracking"
DAYS = 30
PAGES = 20
SITES_MAX = 50
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}|localhost|127\.0\.0\.1")
REASONS = {
    "duplicate": lazy_gettext("The same act again within a second"),
    "refused": lazy_gettext("The member refuses to be recorded"),
    "not_recorded": lazy_gettext("The campaign records nothing"),
    "suspended": lazy_gettext("The member’s data is suspended"),
    "erased": lazy_gettext("The member was erased"),
    "unknown": lazy_gettext("Campaign or delivery that is not there"),
    "clock": lazy_gettext("With a time that cannot be"),
    "malformed": lazy_gettext("Not written by this installation"),
    "buffer_full": lazy_gettext("Lost: Redis was away for too long"),
    "stream_full": lazy_gettext("Lost: the stream was full"),
    "target_unknown": lazy_gettext("Click that could not be answered: the database was away"),
    "token_flood": lazy_gettext("Too many fetches of one mail"),
    "network_flood": lazy_gettext("Too many fetches from one network"),
}
LOST = ("buffer_full", "stream_full", "target_unknown")


@blueprint.get(HERE)
@edge.allowed("settings.view")
def show() -> str:
    return _page(None)


def _page(form: Form | None) -> str:
    since = (edge.now() - timedelta(days=DAYS)).date().isoformat()
    known = networks.current(edge.runtime().settings.network_files)
    with edge.reading() as session:
        rows = session.execute(
            select(IngestCount.reason, func.sum(IngestCount.count)).where(IngestCount.day >= since).group_by(IngestCount.reason)
        )
        counts = {reason: int(count) for reason, count in rows}
        sites = _sites(session, since)
    dropped = [(REASONS.get(reason, reason), counts[reason], reason in LOST) for reason in sorted(counts, key=lambda each: -counts[each])]
    files = [path.name for path in edge.runtime().settings.network_files]
    return render_template(
        "admin/tracking.html",
        dropped=dropped,
        days=DAYS,
        sites=sites,
        form=form,
        files=files,
        read=len(known.readers),
        may_edit=edge.can("settings.edit"),
    )


def _sites(session: Session, since: str) -> list[tuple[Site, int, int]]:
    views: Counter[int] = Counter()
    known: Counter[int] = Counter()
    sums = select(SiteVisits.site_id, func.sum(SiteVisits.views), func.sum(SiteVisits.known)).where(SiteVisits.day >= since)
    for site_id, count, joined in session.execute(sums.group_by(SiteVisits.site_id)):
        views[site_id], known[site_id] = int(count), int(joined)
    return [(site, views[site.id], known[site.id]) for site in session.scalars(select(Site).order_by(Site.host))]


@blueprint.post(f"{HERE}/sites")
@edge.allowed("settings.edit")
def add_site() -> edge.Answer:
    form = Form(request.form)
    name = form.text("name", _("Name"), max_length=100)
    host = form.text("host", _("Host name"), max_length=255).lower().removeprefix("https://").rstrip("/")
    if form.is_right and not _HOST.fullmatch(host):
        form.wrong("host", _("Write only the host name, such as www.example.org."))
    if form.is_right:
        with edge.writing() as session:
            if session.scalar(select(func.count()).where(Site.host == host)):
                form.wrong("host", _("This site is registered already."))
            elif (session.scalar(select(func.count(Site.id))) or 0) >= SITES_MAX:
                form.wrong("host", _("There are too many sites: remove one first."))
            else:
                site = Site(name=name, host=host, code=secrets.token_urlsafe(9), created_at=edge.now())
                session.add(site)
                session.flush()
                edge.audit(session, "site.add", site.id)
                return edge.back_to(f"{HERE}/sites/{site.id}", _("Put the line below into the pages of the site."))
    return _page(form), 422


@blueprint.get(f"{HERE}/sites/<int:site_id>")
@edge.allowed("settings.view")
def site(site_id: int) -> str:
    days = [(edge.now() - timedelta(days=DAYS - 1 - place)).date() for place in range(DAYS)]
    since = days[0].isoformat()
    with edge.reading() as session:
        found = session.get(Site, site_id) or abort(404)
        its = SiteVisits.site_id == site_id, SiteVisits.day >= since
        by_day = {row[0]: row[1:] for row in session.execute(_sums(SiteVisits.day).where(*its).group_by(SiteVisits.day))}
        pages = [
            (path, int(views), int(known))
            for path, views, known in session.execute(
                _sums(SiteVisits.path).where(*its).group_by(SiteVisits.path).order_by(func.sum(SiteVisits.views).desc()).limit(PAGES)
            )
        ]
    views = [int(by_day.get(day.isoformat(), (0, 0))[0]) for day in days]
    known = [int(by_day.get(day.isoformat(), (0, 0))[1]) for day in days]
    shown = {"pages": pages, "chart": _chart(days, views, known), "total": sum(views)}
    return render_template(
        "admin/site.html", **shown, site=found, base=edge.runtime().settings.base_url, may_edit=edge.can("settings.edit"),
    )  # fmt: skip


def _sums(key: Any) -> Any:
    return select(key, func.sum(SiteVisits.views), func.sum(SiteVisits.known))


def _chart(days: list[date], views: list[int], known: list[int]) -> dict[str, Any]:
    series = [Series(_("Views"), views), Series(_("Of known members"), known)]
    noons = [datetime.combine(day, time(12), UTC) for day in days]
    labels = [i18n.date(noon, UTC) for noon in noons]
    ticks = [i18n.day(noon, UTC) if place % 7 == 0 else "" for place, noon in enumerate(noons)]
    title = _("Views of the site’s pages by day")
    return {
        "key": charts.key(series),
        "svg": charts.line_chart(series, ticks, title=title, description=_("%(count)s in all.", count=number(sum(views))), name="views"),
        "table": charts.figures(series, labels, caption=title, first_column=_("Day")),
    }


@blueprint.post(f"{HERE}/sites/<int:site_id>/delete")
@edge.allowed("settings.edit")
def delete_site(site_id: int) -> Response:
    with edge.writing() as session:
        found = session.get(Site, site_id) or abort(404)
        edge.audit(session, "site.delete", found.id)
        session.delete(found)
    return edge.back_to(HERE, _("Removed, with its visits."))
