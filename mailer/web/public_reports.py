"""`/r/TOKEN`: a campaign's figures for whoever was given the link. No personal data, no cookie, no script, no search engine."""

from flask import Blueprint, Response, make_response, render_template, request

from kairan import i18n, installation
from kairan.models.campaigns import Campaign
from kairan.models.events import Aspect
from mailer.reports import facets, public_links, summary
from mailer.reports import links as report_links
from mailer.web import breakdowns, edge, report_curves
from unsubscribe.pages import HEADERS

blueprint = Blueprint("public_reports", __name__)


@blueprint.get("/r/<token>")
@edge.anyone
def show(token: str) -> Response:
    """One answer to every link that is not, or no longer, there."""
    i18n.set_language(request.accept_languages.best_match(i18n.LANGUAGES) or i18n.DEFAULT_LANGUAGE)
    with edge.reading() as session:
        campaign_id = public_links.campaign_of(session, token, edge.now())
        campaign = session.get(Campaign, campaign_id) if campaign_id else None
        organisation = installation.get(session, "organisation")
        zone_name = str(installation.get(session, "time_zone"))
        if campaign is None or campaign.started_at is None:
            return _answer(render_template("public/not_found.html", organisation=organisation), 404)
        report = summary.report(session, campaign.id)
        links = sorted(report_links.links(session, campaign.id), key=lambda link: -link.clicks)
        rankings = facets.rankings(session, campaign.id)
        readers = [(breakdowns.title(aspect), _named(rankings[aspect])) for aspect in (Aspect.CLIENT, Aspect.DEVICE)]
    zone = breakdowns.zone_of(zone_name)
    curve = report_curves.curve(campaign.started_at, report["by_hour"], report_curves.FIRST, zone)
    shown = {"report": report, "links": links, "readers": readers, "chart": report_curves.drawn(curve, report_curves.FIRST)}
    return _answer(render_template("public/report.html", campaign=campaign, organisation=organisation, zone=zone, **shown), 200)


def _named(ranking: facets.Ranking) -> list[tuple[str, int]]:
    return [(breakdowns.label(row.value), row.openers) for row in ranking.rows if row.openers]


def _answer(page: str, status: int) -> Response:
    response = make_response(page, status)
    response.headers.update(HEADERS)
    return response
