"""A second person looks at a campaign and approves it, from its review step."""

from flask import Blueprint, abort
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.campaigns import approval
from mailer.delivery import system_mail
from mailer.web import edge

blueprint = Blueprint("approvals", __name__)


@blueprint.post("/campaigns/<int:campaign_id>/approval/ask")
@edge.allowed("campaign.edit")
def ask(campaign_id: int) -> Response:
    with edge.writing() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        if campaign.status != CampaignStatus.DRAFT:
            abort(409)
        base_url = edge.runtime().settings.base_url
        mails = approval.ask(session, campaign, by=edge.signed_in().id, base_url=base_url, now=edge.now())
        edge.audit(session, "campaign.approval.ask", campaign_id)
    edge.ring(lambda: system_mail.ring(edge.runtime()))
    said = (
        ngettext("One person was asked by mail.", "%(count)s people were asked by mail.", mails)
        if mails
        else _("There is nobody else who may send.")
    )
    return edge.back_to(f"/campaigns/{campaign_id}/review#approval", said, "ok" if mails else "warn")


@blueprint.post("/campaigns/<int:campaign_id>/approval/give")
@edge.allowed("campaign.send")
def give(campaign_id: int) -> Response:
    then = f"/campaigns/{campaign_id}/review#approval"
    with edge.writing() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        if campaign.status != CampaignStatus.DRAFT:
            abort(409)
        try:
            approval.give(session, campaign, by=edge.signed_in().id, now=edge.now())
        except approval.NotYours:
            return edge.back_to(then, _("You wrote what it says: another person approves it."), "bad")
        edge.audit(session, "campaign.approval.give", campaign_id, revision=campaign.revision)
    return edge.back_to(then, _("Approved, as it is now. A change takes that back."))
