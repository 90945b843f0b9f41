"""All campaigns side by side, and how the audience grows."""

from typing import Any

from flask import Blueprint, render_template

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.i18n import number
from mailer.reports import charts
from mailer.reports.charts import Series
from mailer.web import campaign_queries, edge, paging, report_queries

blueprint = Blueprint("reports_over", __name__)


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
