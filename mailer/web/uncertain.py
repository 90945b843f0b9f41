"""What a person decides on deliveries of unknown outcome."""

from flask import Blueprint, abort, request
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign
from mailer.campaigns import jobs
from mailer.web import edge

blueprint = Blueprint("uncertain", __name__)


@blueprint.post("/campaigns/<int:campaign_id>/uncertain")
@edge.allowed("delivery.resolve")
def decide(campaign_id: int) -> Response:
    decision = request.form.get("decision")
    if decision not in ("arrived", "again"):
        abort(400)
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
        edge.audit(session, f"delivery.{decision}", campaign_id)
    count = jobs.decide_uncertain(edge.runtime(), campaign_id, again=decision == "again")
    if not count:
        said = _("No delivery is uncertain any more.")
    elif decision == "again":
        said = ngettext("One mail is sent again.", "%(count)s mails are sent again.", count)
    else:
        said = ngettext("One delivery counts as arrived.", "%(count)s deliveries count as arrived.", count)
    return edge.back_to(f"/campaigns/{campaign_id}/progress", said)
