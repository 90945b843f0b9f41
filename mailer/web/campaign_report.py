"""How a campaign did: figures with people and machines apart, links by position, recipients, export; and all campaigns side by side."""

import json
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.i18n import number
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.campaigns import compilation
from mailer.reports import charts, summary
from mailer.reports import links as report_links
from mailer.reports import recipients as report_recipients
from mailer.reports.charts import Series
from mailer.web import campaign_queries, edge, paging, previews, report_queries

blueprint = Blueprint("campaign_report", __name__)


def _find(session: Session, campaign_id: int) -> Campaign:
    return session.get(Campaign, campaign_id) or abort(404)


@blueprint.get("/campaigns/<int:campaign_id>")
@edge.allowed("report.view")
def overview(campaign_id: int) -> edge.Answer:
    with edge.reading() as session:
        campaign = _find(session, campaign_id)
        if campaign.started_at is None:
            return redirect(f"/campaigns/{campaign_id}/{'content' if campaign.status == CampaignStatus.DRAFT else 'progress'}")
        shown = figures(session, campaign)
    return render_template("admin/report.html", **shown, chart=chart(campaign, shown["report"]), tab="overview")


def figures(session: Session, campaign: Campaign) -> dict[str, Any]:
    report = summary.report(session, campaign.id)
    return {
        "campaign": campaign,
        "report": report,
        "counts": campaign_queries.counts(session, campaign.id),
        "usual": report_queries.usual(session, campaign),
        "lists": campaign_queries.list_names(session, [campaign.id]).get(campaign.id, []),
        "links": sorted(report_links.links(session, campaign.id), key=lambda link: -link.clicks),
    }


def chart(campaign: Campaign, report: dict[str, Any]) -> dict[str, Any]:
    opens, clicks = report_queries.first_hours(campaign.started_at or edge.now(), report["by_hour"])
    series = [Series(_("Opened or previewed"), opens), Series(_("Clicked"), clicks)]
    hours = [_("+%(count)s h", count=place) for place in range(report_queries.HOURS)]
    best = max(range(len(opens)), key=opens.__getitem__)
    return {
        "key": charts.key(series),
        "svg": charts.line_chart(
            series,
            [label if place % 6 == 0 else "" for place, label in enumerate(hours)],
            title=_("Members who opened or previewed, and who clicked, for the first time, by hour after the start"),
            description=_("Most opened in hour %(hour)s: %(count)s.", hour=best, count=number(opens[best])),
            name="hours",
        ),
        "table": charts.figures(series, hours, caption=_("First 48 hours"), first_column=_("Hour")),
        "is_empty": not any(opens) and not any(clicks),
    }


@blueprint.get("/campaigns/<int:campaign_id>/links")
@edge.allowed("report.view")
def links(campaign_id: int) -> str:
    with edge.reading() as session:
        shown = figures(session, _find(session, campaign_id))
    counts = {str(link.number): link.clicks for link in shown["links"]}
    return render_template("admin/report_links.html", **shown, tab="links", click_counts=json.dumps(counts))


@blueprint.get("/campaigns/<int:campaign_id>/click-map")
@edge.allowed("report.view")
def click_map(campaign_id: int) -> edge.Answer:
    """The mail with a number on each link, for the frame under the click map."""
    with edge.reading() as session:
        campaign = _find(session, campaign_id)
        source = compilation.source_of(session, campaign, edge.runtime().settings.base_url)
        recipient = previews.sample(session, campaign_id, None)
    return previews.rendered(source, recipient, "desktop", link_ids=True)


@blueprint.get("/campaigns/<int:campaign_id>/recipients-report")
@edge.allowed("member.view")
def recipients(campaign_id: int) -> str:
    chosen = request.args.get("show", "")
    if chosen and chosen not in report_recipients.FILTERS:
        abort(404)
    with edge.reading() as session:
        shown = figures(session, _find(session, campaign_id))
        found = report_recipients.recipients(session, campaign_id, chosen=chosen, after=paging.after() or 0, limit=paging.SIZE + 1)
    page = paging.page(found, lambda row: row.number)
    return render_template("admin/report_recipients.html", **shown, tab="recipients", page=page, chosen=chosen)


@blueprint.get("/reports")
@edge.allowed("report.view")
def reports() -> str:
    with edge.reading() as session:
        page = paging.page(report_queries.sent_campaigns(session, paging.after(), paging.SIZE + 1), lambda campaign: campaign.id)
        ids = [campaign.id for campaign in page.rows]
        members, ends = report_queries.growth(session, edge.now())
        return render_template(
            "admin/reports.html",
            page=page,
            results=campaign_queries.results(session, ids),
            lists=campaign_queries.list_names(session, ids),
            growth=growth_chart(members, ends),
        )


def growth_chart(members: list[int], ends: list[Any]) -> dict[str, Any]:
    from kairan import i18n

    series = [Series(_("Members"), members)]
    labels = [i18n.date(end, edge.zone()) for end in ends]
    return {
        "svg": charts.small_line_chart(
            series,
            [label if place in (0, 5, len(labels) - 1) else "" for place, label in enumerate(labels)],
            title=_("Members at the end of each week"),
            description=_("%(first)s twelve weeks ago, %(last)s now.", first=number(members[0]), last=number(members[-1])),
            name="growth",
        ),
        "table": charts.figures(series, labels, caption=_("Members"), first_column=_("Week until")),
    }
