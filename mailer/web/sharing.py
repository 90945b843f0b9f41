"""Sharing a report: a link for people without an account, and reports that come by mail."""

from datetime import date, datetime, time, timedelta

from flask import Blueprint, abort, render_template, request
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.models.accounts import Account
from kairan.models.campaigns import Campaign
from mailer.reports import public_links, report_mail
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("sharing", __name__)


@blueprint.get("/campaigns/<int:campaign_id>/sharing")
@edge.allowed("report.view")
def show(campaign_id: int) -> str:
    return _page(campaign_id)


def _page(campaign_id: int, form: Form | None = None, new_link: str = "") -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        return render_template(
            "admin/sharing.html",
            campaign=campaign,
            links=public_links.of_campaign(session, campaign_id, edge.now()),
            wanted=report_mail.wanted(session, edge.signed_in().id, campaign_id),
            hours=report_mail.AFTER_HOURS,
            form=form,
            new_link=new_link,
        )


@blueprint.post("/campaigns/<int:campaign_id>/sharing/link")
@edge.allowed("report.share")
def make_link(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    ends_at = _end_of(form)
    if form.is_right:
        try:
            with edge.writing() as session:
                if session.get(Campaign, campaign_id) is None:
                    abort(404)
                row, token = public_links.make(session, campaign_id, by=edge.signed_in().id, ends_at=ends_at, now=edge.now())
                edge.audit(session, "report.share", campaign_id, link=row.id)
            return _page(campaign_id, new_link=f"{edge.runtime().settings.base_url}/r/{token}")
        except public_links.TooMany:
            form.wrong("until", _("There are %(count)s links already: end one first.", count=public_links.LINKS_MAX))
    return _page(campaign_id, form), 422


def _end_of(form: Form) -> datetime | None:
    """The end of the day given, by the person's clock; None: no end."""
    said = form.text("until", _("Until"), required=False, max_length=10)
    if not said:
        return None
    try:
        ends_at = datetime.combine(date.fromisoformat(said) + timedelta(days=1), time(), edge.zone())
    except ValueError:
        form.wrong("until", _("Choose a date."))
        return None
    if ends_at <= edge.now():
        form.wrong("until", _("This day is over."))
    return ends_at


@blueprint.post("/campaigns/<int:campaign_id>/sharing/link/<int:link_id>/end")
@edge.allowed("report.share")
def end_link(campaign_id: int, link_id: int) -> Response:
    with edge.writing() as session:
        if not public_links.end(session, campaign_id, link_id):
            abort(404)
        edge.audit(session, "report.unshare", campaign_id, link=link_id)
    return edge.back_to(f"/campaigns/{campaign_id}/sharing", _("The link has ended."))


@blueprint.post("/campaigns/<int:campaign_id>/sharing/mail")
@edge.allowed("report.view")
def choose_campaign_mail(campaign_id: int) -> Response:
    hours = [int(value) for value in request.form.getlist("hours") if value.isdigit() and len(value) < 5]
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
        account = session.get_one(Account, edge.signed_in().id)
        report_mail.want(session, account, hours, campaign_id=campaign_id, now=edge.now())
        edge.audit(session, "report.mail", campaign_id)
    return edge.back_to(f"/campaigns/{campaign_id}/sharing", _("Saved."))


# ---- over all campaigns


@blueprint.get("/reports/by-mail")
@edge.allowed("report.view")
def by_mail() -> str:
    with edge.reading() as session:
        wanted = report_mail.wanted(session, edge.signed_in().id)
    return render_template("admin/reports_by_mail.html", wanted=wanted, tab="by-mail")


@blueprint.post("/reports/by-mail")
@edge.allowed("report.view")
def choose_mail() -> Response:
    with edge.writing() as session:
        account = session.get_one(Account, edge.signed_in().id)
        report_mail.want(session, account, request.form.getlist("every"), now=edge.now())
        edge.audit(session, "report.mail")
    return edge.back_to("/reports/by-mail", _("Saved."))
