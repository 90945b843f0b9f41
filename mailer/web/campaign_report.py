"""How a campaign did: figures with people and machines apart, links by position, recipients, and how it went out."""

import json
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.campaigns import compilation
from mailer.reports import final_counts, summary
from mailer.reports import links as report_links
from mailer.reports import recipients as report_recipients
from mailer.web import (
    breakdowns,
    campaign_queries,
    edge,
    member_queries,
    paging,
    previews,
    report_curves,
    report_queries,
    standstill,
    versions,
)
from mailer.web.report_curves import FIRST
from unsubscribe import leaving

blueprint = Blueprint("campaign_report", __name__)
LIVE_FOR = timedelta(hours=6)


def _find(session: Session, campaign_id: int) -> Campaign:
    return session.get(Campaign, campaign_id) or abort(404)


@blueprint.get("/campaigns/<int:campaign_id>")
@edge.allowed("report.view")
def overview(campaign_id: int) -> edge.Answer:
    span = request.args.get("span", FIRST)
    if span not in report_curves.SPANS:
        abort(404)
    with edge.reading() as session:
        campaign = _find(session, campaign_id)
        if campaign.started_at is None:
            return redirect(f"/campaigns/{campaign_id}/{'content' if campaign.status == CampaignStatus.DRAFT else 'progress'}")
        shown = figures(session, campaign)
        before = report_queries.earlier(session, campaign)
        shown["before"], shown["usual"] = before, report_queries.usual(before)
        shown["left_by"] = {reason: count for reason, count in shown["left"].items() if count}
        shown["left_because"] = leaving.counts(session, campaign_id)
        shown["left_words"] = leaving.words(session, campaign_id) if edge.can("consent.view") else []
        shown["breakdowns"] = breakdowns.all_of(session, campaign_id, campaign.audience)
        shown["rules"] = breakdowns.machines(session, campaign_id)
        shown["versions"] = versions.rows(session, campaign)
        shown["verdict"] = versions.verdict(shown["versions"], "opens" if (campaign.trial or {}).get("by") == "opens" else "clicks")
    curve = report_curves.curve(campaign.started_at, shown["report"]["by_hour"], span, edge.zone())
    page = "admin/_report.html" if edge.is_fragment() else "admin/report.html"
    return render_template(page, **shown, chart=report_curves.drawn(curve, span), span=span, is_live=_is_live(campaign), tab="overview")


def _is_live(campaign: Campaign) -> bool:
    """While it goes out, and in the hours in which most of it is read, the page looks again by itself."""
    fresh = campaign.started_at is not None and edge.now() - campaign.started_at < LIVE_FOR
    return campaign.status in (CampaignStatus.SENDING, CampaignStatus.PAUSED) or fresh


def figures(session: Session, campaign: Campaign) -> dict[str, Any]:
    left = summary.leavers(session, campaign.id)
    report = summary.report(session, campaign.id, left)
    return {
        "left": left,
        "campaign": campaign,
        "report": report,
        "counts": campaign_queries.counts(session, campaign.id),
        "lists": campaign_queries.list_names(session, [campaign.id]).get(campaign.id, []),
        "links": sorted(report_links.links(session, campaign.id), key=lambda link: -link.clicks),
    }


@blueprint.get("/campaigns/<int:campaign_id>/technical")
@edge.allowed("report.view")
def technical(campaign_id: int) -> str:
    """How it went out, what told machines, and what was not recorded."""
    with edge.reading() as session:
        campaign = _find(session, campaign_id)
        shown = figures(session, campaign)
        ended = final_counts.whole(session, campaign_id)
        shown |= {
            "problems": ended.problems,
            "providers": standstill.of_providers(session, ended.providers, edge.now()),
            "rules": breakdowns.machines(session, campaign_id),
            "span_s": ended.went_out,
        }
    return render_template("admin/report_technical.html", **shown, tab="technical")


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
        source = compilation.source_of(session, campaign, edge.runtime().settings.base_url, compilation.first_version(session, campaign))
        recipient = previews.sample(session, campaign_id, None)
    return previews.rendered(source, recipient, "desktop", link_ids=True)


@blueprint.get("/campaigns/<int:campaign_id>/recipients-report")
@edge.allowed("member.view")
def recipients(campaign_id: int) -> str:
    chosen = request.args.get("show", "")
    if chosen and chosen not in report_recipients.FILTERS:
        abort(404)
    search = request.args.get("q", "").strip()
    with edge.reading() as session:
        shown = figures(session, _find(session, campaign_id))
        found = report_recipients.recipients(
            session,
            campaign_id,
            chosen=chosen,
            found=member_queries.matches(search) if search else None,
            after=paging.after() or 0,
            limit=paging.SIZE + 1,
        )
    page = paging.page(found, lambda row: row.number)
    return render_template("admin/report_recipients.html", **shown, tab="recipients", page=page, chosen=chosen, search=search)
