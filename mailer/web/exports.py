"""Export of a campaign's events as CSV: personal data goes out only with a purpose and a recipient, which are written down first."""

import csv
import io
from collections.abc import Iterator, Sequence

from flask import Blueprint, abort, render_template, request
from werkzeug.wrappers import Response

from kairan import addresses
from kairan.database import Database
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from mailer.reports import export as reports
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("exports", __name__)


@blueprint.get("/campaigns/<int:campaign_id>/export")
@edge.allowed("events.export")
def ask(campaign_id: int) -> str:
    return _page(campaign_id, None)


def _page(campaign_id: int, form: Form | None) -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
    return render_template("admin/export.html", campaign=campaign, form=form)


@blueprint.post("/campaigns/<int:campaign_id>/export")
@edge.allowed("events.export")
def export(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    purpose = form.text("purpose", _("Purpose of the export"), max_length=500)
    recipient = form.text("recipient", _("Who gets it"), max_length=500)
    if not form.is_right:
        return _page(campaign_id, form), 422
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
        actor = f"account:{edge.signed_in().id}"
        reports.provide(session, campaign_id, actor=actor, purpose=purpose, recipient=recipient, now=edge.now())
    return Response(
        lines(edge.runtime().database, campaign_id, masked=not edge.can("member.address")),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="events-{campaign_id}.csv"'},
    )


def lines(database: Database, campaign_id: int, *, masked: bool) -> Iterator[bytes]:
    """As mailer.reports streams it for a spreadsheet; for whoever may not see addresses, with these masked."""
    if not masked:
        yield from reports.stream(database, campaign_id, spreadsheet=True)
        return
    yield (reports.BOM + _written([reports.COLUMNS])).encode()
    place = reports.COLUMNS.index("email")
    for rows in reports.pages(database, campaign_id):
        yield _written([(*row[:place], addresses.masked(row[place]) if row[place] else "", *row[place + 1 :]) for row in rows]).encode()


def _written(rows: Sequence[tuple[object, ...]]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="\r\n").writerows(
        [["" if cell is None else reports.formula_safe(str(cell)) for cell in row] for row in rows]
    )
    return held.getvalue()
