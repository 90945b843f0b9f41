"""Members: the list, and one member with lists, consent and timeline."""

from datetime import datetime

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from kairan import i18n, walltime
from kairan.i18n import gettext as _
from kairan.models.audience import List, Member
from kairan.models.consent import ConsentSource
from mailer.audience import members, timeline
from mailer.web import edge, member_queries, paging
from mailer.web.campaign_steps import lists_with_numbers
from mailer.web.forms import Form
from unsubscribe import moving

blueprint = Blueprint("members", __name__)
TIMELINE_MAX, EVIDENCE_MAX = 60, 50


@blueprint.get("/audience")
@edge.allowed("member.view")
def audience() -> Response:
    return redirect("/audience/members")


@blueprint.get("/audience/members")
@edge.allowed("member.view")
def show_list() -> str:
    search, list_id = request.args.get("q", "").strip(), request.args.get("list", type=int)
    with edge.reading() as session:
        page = paging.page(member_queries.listed(session, search, list_id, paging.after(), paging.SIZE + 1), lambda member: member.id)
        return render_template(
            "admin/members.html",
            page=page,
            search=search,
            list_id=list_id,
            chosen=session.get(List, list_id) if list_id else None,
            total=member_queries.total(session),
            suppressed=member_queries.suppressed(session, page.rows),
            lists=member_queries.list_names(session, page.rows),
        )


@blueprint.get("/audience/members/<int:member_id>")
@edge.allowed("member.view")
def show(member_id: int) -> str:
    with edge.reading() as session:
        member = session.get(Member, member_id) or abort(404)
        return render_template(
            "admin/member.html",
            member=member,
            suppressed=member_queries.suppressed(session, [member]).get(member.id),
            subscriptions=member_queries.subscriptions(session, member_id),
            moves=moving.earlier(session, member_id),
            consents=timeline.consents(session, member_id, limit=EVIDENCE_MAX) if edge.can("consent.view") else [],
            timeline=timeline.timeline(session, member_id, limit=TIMELINE_MAX + 1, before=_before()),
            timeline_max=TIMELINE_MAX,
        )


def _before() -> datetime | None:
    """How far back the timeline begins; what is no moment is now."""
    try:
        given = datetime.fromisoformat(request.args.get("before", ""))
    except ValueError:
        return None
    return given if given.tzinfo else None


@blueprint.get("/audience/members/new")
@edge.allowed("member.edit")
def new() -> str:
    return _new(None)


def _new(form: Form | None) -> str:
    with edge.reading() as session:
        lists = lists_with_numbers(session)
    chosen = [*(form.ids("lists") if form else []), *request.args.getlist("list", type=int)]
    return render_template("admin/member_new.html", form=form, lists=lists, chosen=chosen, zones=walltime.zones())


@blueprint.post("/audience/members/new")
@edge.allowed("member.edit")
def add() -> edge.Answer:
    form = Form(request.form)
    given = members.Given(
        form.email("email", _("E-mail address")),
        form.text("first_name", _("First name"), required=False),
        form.text("last_name", _("Last name"), required=False),
        form.choice("locale", _("Language"), ("", *i18n.LANGUAGES)),
        time_zone=form.text("time_zone", _("Time zone"), required=False, max_length=64),
    )
    words = form.text("consent", _("Consent"), required=False, max_length=5000, one_line=False)
    agreed = members.Agreed(_("entered by staff"), words) if words else None
    if form.is_right:
        try:
            with edge.writing() as session:
                member, is_new = members.add(
                    session,
                    edge.runtime().secrets,
                    given,
                    now=edge.now(),
                    lists=form.ids("lists"),
                    agreed=agreed,
                    source=ConsentSource.STAFF,
                )
                edge.audit(session, "member.add", member.id)
        except members.FieldRefused as refused:
            form.wrong(refused.field, str(refused))
        except members.AddressErased:
            form.wrong("email", _("The person of this address had their data erased. Only they themselves can come back."))
        else:
            message = _("The member is there.") if is_new else _("This member was there already; what was missing was filled in.")
            return edge.back_to(f"/audience/members/{member.id}", message, "ok" if is_new else "info")
    return _new(form), 422
