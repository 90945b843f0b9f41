"""The suppression list: whose address gets no mail, and why."""

from flask import Blueprint, render_template, request
from sqlalchemy import func, select

from kairan import addresses
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.web import edge
from mailer.web.forms import Form
from mailer.web.paging import SIZE
from unsubscribe import suppression

blueprint = Blueprint("suppressions", __name__)


@blueprint.get("/audience/suppressions")
@edge.allowed("suppression.view")
def show_list() -> str:
    return _page(None)


def _page(form: Form | None) -> str:
    search, reason = request.args.get("q", "").strip(), request.args.get("reason", "")
    query = (
        select(Suppression, Member)
        .outerjoin(Member, Member.address_key == Suppression.address_key)
        .order_by(Suppression.created_at.desc())
        .limit(SIZE * 2)
    )
    if reason in list(SuppressionReason):
        query = query.where(Suppression.reason == reason)
    if search:
        query = query.where(Suppression.address_key == _key(search))
    with edge.reading() as session:
        rows = list(session.execute(query))
        number = session.scalar(select(func.count()).select_from(Suppression)) or 0
    return render_template(
        "admin/suppressions.html", rows=rows, number=number, search=search, reason=reason, reasons=list(SuppressionReason), form=form
    )


def _key(address: str) -> bytes:
    try:
        return edge.runtime().secrets.address_key(addresses.normal(address))
    except addresses.AddressError:
        return b""


@blueprint.post("/audience/suppressions")
@edge.allowed("suppression.edit")
def add() -> edge.Answer:
    form = Form(request.form)
    address = form.email("email", _("E-mail address"))
    note = form.text("note", _("Reason"), required=False, max_length=500)
    if not form.is_right:
        return _page(form), 422
    with edge.writing() as session:
        key = edge.runtime().secrets.address_key(addresses.normal(address))
        member_id = session.scalar(select(Member.id).where(Member.address_key == key))
        if member_id:
            added = suppression.suppress(session, member_id, SuppressionReason.STAFF, now=edge.now(), note=note)
        else:
            added = suppression.suppress_address(session, key, SuppressionReason.STAFF, now=edge.now(), note=note)
        edge.audit(session, "suppression.add", member_id)
    if member_id:
        from unsubscribe.waiting import wait_for_gated

        wait_for_gated(edge.runtime().database, member_id)
    message = _("The address gets no more mail.") if added else _("This address was on the list already.")
    return edge.back_to("/audience/suppressions", message, "ok" if added else "info")
