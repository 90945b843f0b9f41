"""Lists: each with the one purpose its members agreed to."""

from flask import Blueprint, abort, render_template, request
from sqlalchemy import func, select

from kairan.i18n import gettext as _
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.campaigns import Campaign, CampaignList
from kairan.models.consent import Permission
from kairan.models.suppression import Suppression
from mailer.audience import lists as audience_lists
from mailer.campaigns import public_archive
from mailer.web import campaign_queries, edge
from mailer.web.campaign_steps import lists_with_numbers
from mailer.web.forms import Form

blueprint = Blueprint("lists", __name__)


@blueprint.get("/audience/lists")
@edge.allowed("list.view")
def show_list() -> str:
    return _page(None)


def _page(form: Form | None) -> str:
    with edge.reading() as session:
        purposes = list(session.scalars(select(Purpose.name).order_by(Purpose.name)))
        return render_template("admin/lists.html", lists=lists_with_numbers(session), purposes=purposes, form=form)


@blueprint.post("/audience/lists")
@edge.allowed("list.edit")
def create() -> edge.Answer:
    form = Form(request.form)
    name = form.text("name", _("Name"))
    purpose = form.text("purpose", _("Purpose"))
    description = form.text("description", _("For members"), required=False, max_length=1000, one_line=False)
    if form.is_right:
        try:
            with edge.writing() as session:
                made = audience_lists.create(session, name, purpose, description=description, public=form.yes("public"), now=edge.now())
                edge.audit(session, "list.create", made.id)
        except audience_lists.NameTaken:
            form.wrong("name", _("There is a list of this name already."))
        else:
            return edge.back_to(f"/audience/lists/{made.id}", _("The list is there. Bring in its members next."))
    return _page(form), 422


@blueprint.post("/audience/lists/<int:list_id>/archive")
@edge.allowed("list.edit")
def save_archive(list_id: int) -> edge.Answer:
    form = Form(request.form)
    try:
        with edge.writing() as session:
            on = form.yes("public_archive")
            audience_lists.change(session, list_id, now=edge.now(), public_archive=on, slug=form.raw("slug"))
            edge.audit(session, "list.change", list_id, names=["public_archive", "slug"])
    except audience_lists.UnknownList:
        abort(404)
    except audience_lists.NotASlug as error:
        form.wrong("slug", str(error))
    except audience_lists.SlugTaken:
        form.wrong("slug", _("The archive of another list has this address already."))
    else:
        said = _("The archive is open to everybody.") if on else _("The list has no public archive.")
        return edge.back_to(f"/audience/lists/{list_id}", said)
    return _show(list_id, form), 422


@blueprint.get("/audience/lists/<int:list_id>")
@edge.allowed("list.view")
def show(list_id: int) -> str:
    return _show(list_id, None)


def _show(list_id: int, form: Form | None) -> str:
    with edge.reading() as session:
        found = session.get(List, list_id) or abort(404)
        in_list = (Subscription.list_id == list_id, Subscription.ended_at.is_(None))
        number = session.scalar(select(func.count()).where(*in_list)) or 0
        consented = session.scalar(
            select(func.count())
            .select_from(Subscription)
            .join(Permission, (Permission.member_id == Subscription.member_id) & (Permission.purpose_id == found.purpose_id))
            .where(*in_list, Permission.withdrawn_at.is_(None))
        )
        suppressed = session.scalar(
            select(func.count())
            .select_from(Subscription)
            .join(Member, Member.id == Subscription.member_id)
            .join(Suppression, Suppression.address_key == Member.address_key)
            .where(*in_list)
        )
        left = session.scalar(select(func.count()).where(Subscription.list_id == list_id, Subscription.ended_at.is_not(None)))
        campaigns = list(
            session.scalars(
                select(Campaign)
                .join(CampaignList, CampaignList.campaign_id == Campaign.id)
                .where(CampaignList.list_id == list_id, CampaignList.excluded.is_(False), Campaign.started_at.is_not(None))
                .order_by(Campaign.id.desc())
                .limit(10)
            )
        )
        return render_template(
            "admin/list.html",
            list=found,
            form=form,
            archive=edge.runtime().settings.base_url + public_archive.path(found),
            purpose=session.get_one(Purpose, found.purpose_id).name,
            number=number,
            consented=consented or 0,
            suppressed=suppressed or 0,
            left=left or 0,
            campaigns=campaigns,
            results=campaign_queries.results(session, [campaign.id for campaign in campaigns]),
        )
