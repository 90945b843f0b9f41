"""Members: the list, and one member with lists, consent and timeline."""

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from kairan.models.audience import List, Member
from mailer.web import edge, member_queries, paging

blueprint = Blueprint("members", __name__)


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
            consents=member_queries.consents(session, member_id) if edge.can("consent.view") else [],
            timeline=member_queries.timeline(session, member_id),
        )
