"""By which words people find a campaign again, and whether the public archives show it: changed before and after it is sent."""

from flask import Blueprint, abort, render_template, request
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from mailer.campaigns import labels, public_archive
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("campaign_labels", __name__)


@blueprint.get("/campaigns/<int:campaign_id>/labels")
@edge.allowed("campaign.view")
def show(campaign_id: int) -> str:
    return _page(campaign_id, None)


@blueprint.post("/campaigns/<int:campaign_id>/labels")
@edge.allowed("campaign.edit")
def save(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    read(form)
    if not form.is_right:
        return _page(campaign_id, form), 422
    with edge.writing() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        put(session, campaign, form)
        edge.audit(session, "campaign.change", campaign_id, names=["in_archive", "labels"])
    return edge.back_to(f"/campaigns/{campaign_id}/labels", _("Saved."))


def read(form: Form) -> list[str]:
    """The labels typed; what is wrong with them is noted at their field."""
    try:
        return labels.split(form.raw("labels"))
    except labels.NotLabels as error:
        form.wrong("labels", str(error))
        return []


def put(session: Session, campaign: Campaign, form: Form) -> None:
    """What a form with the fields of admin/_labels.html says. A form without them changes nothing."""
    if form.raw("labelled") != "said":  # an unticked box says nothing by itself
        return
    labels.put(session, campaign.id, read(form))
    public_archive.put(campaign, form.yes("in_archive"), now=edge.now())


def shown(session: Session, campaign: Campaign) -> dict[str, object]:
    """What admin/_labels.html needs."""
    origin = edge.runtime().settings.base_url
    return {
        "labels": labels.of(session, [campaign.id])[campaign.id],
        "known_labels": labels.known(session),
        "archives": [(row.name, origin + public_archive.path(row)) for row in public_archive.lists_of(session, campaign.id)],
    }


def _page(campaign_id: int, form: Form | None) -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        return render_template("admin/campaign_labels.html", campaign=campaign, form=form, **shown(session, campaign))
