"""The suppression list: whose address gets no mail, why, since when and by whom; put on it by staff, and taken off with a reason."""

from collections.abc import Iterable

from flask import Blueprint, abort, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.i18n import gettext as _
from kairan.models.accounts import Account, ApiToken
from kairan.models.audience import Member
from kairan.models.suppression import SuppressedDomain, Suppression, SuppressionReason
from mailer.web import edge
from mailer.web.forms import Form
from mailer.web.paging import SIZE
from unsubscribe import suppression
from unsubscribe.waiting import wait_for_gated

blueprint = Blueprint("suppressions", __name__)
PATH = "/audience/suppressions"


@blueprint.get(PATH)
@edge.allowed("suppression.view")
def show_list() -> str:
    return _page(None)


def _page(form: Form | None) -> str:
    search, reason = request.args.get("q", "").strip(), request.args.get("reason", "")
    query = select(Suppression, Member).outerjoin(Member, Member.address_key == Suppression.address_key)
    if reason in list(SuppressionReason):
        query = query.where(Suppression.reason == reason)
    if search:
        query = query.where(Suppression.address_key == _key(search))
    with edge.reading() as session:
        rows = list(session.execute(query.order_by(Suppression.created_at.desc(), Suppression.address_key).limit(SIZE * 2)))
        return render_template(
            "admin/suppressions.html", rows=rows, number=numbers(session)[0], search=search, reason=reason, reasons=list(SuppressionReason),
            form=form, actors=actors(session, (row.Suppression.actor for row in rows)), tabs=tabs(session, "addresses"),
        )  # fmt: skip


def numbers(session: Session) -> tuple[int, int]:
    """How many addresses and how many domains are on the list."""
    found = [session.scalar(select(func.count()).select_from(table)) or 0 for table in (Suppression, SuppressedDomain)]
    return found[0], found[1]


def tabs(session: Session, current: str) -> list[tuple[str, str, int | None, bool]]:
    addresses_number, domains_number = numbers(session)
    shown: list[tuple[str, str, int | None, bool]] = [
        (PATH, _("Addresses"), addresses_number, current == "addresses"),
        (f"{PATH}/domains", _("Domains"), domains_number, current == "domains"),
    ]
    return [*shown, (f"{PATH}/import", _("Import"), None, current == "import")] if edge.can("suppression.edit") else shown


def actors(session: Session, given: Iterable[str]) -> dict[str, str]:
    """Actor of a row → how people call them; one who is gone is told by their number."""
    names = {"member": _("The member")}
    for actor in {actor for actor in given if ":" in actor}:
        kind, _colon, number = actor.partition(":")
        account = session.get(Account, int(number)) if kind == "account" else None
        token = session.get(ApiToken, int(number)) if kind == "token" else None
        names[actor] = account.email if account else _("Token “%(name)s”", name=token.name if token else number)
    return names


def _key(address: str) -> bytes:
    try:
        return edge.runtime().secrets.address_key(addresses.normal(address))
    except addresses.AddressError:
        return b""


def me() -> str:
    return f"account:{edge.signed_in().id}"


@blueprint.post(PATH)
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
            added = suppression.suppress(session, member_id, SuppressionReason.STAFF, now=edge.now(), note=note, actor=me())
        else:
            added = suppression.suppress_address(session, key, SuppressionReason.STAFF, now=edge.now(), note=note, actor=me())
        edge.audit(session, "suppression.add", member_id)
    if member_id:
        wait_for_gated(edge.runtime().database, member_id)
    message = _("The address gets no more mail.") if added else _("This address was on the list already.")
    return edge.back_to(PATH, message, "ok" if added else "info")


# ---- release


@blueprint.get(f"{PATH}/<key>/release")
@edge.allowed("suppression.edit")
def ask_release(key: str) -> str:
    return _release_page(key, None)


@blueprint.post(f"{PATH}/<key>/release")
@edge.allowed("suppression.edit")
def release(key: str) -> edge.Answer:
    form = Form(request.form)
    note = form.text("note", _("Reason"), max_length=500)
    if form.is_right:
        try:
            with edge.writing() as session:
                entry = _entry(session, key)
                member_id = session.scalar(select(Member.id).where(Member.address_key == entry.address_key))
                suppression.release(session, entry.address_key, now=edge.now(), note=note)
                edge.audit(session, "suppression.release", member_id)
        except (suppression.OwnActMissing, suppression.Erased):
            return _release_page(key, form), 409
        return edge.back_to(PATH, _("The address is off the list. A no of the member’s own, if there is one, still holds."))
    return _release_page(key, form), 422


def _entry(session: Session, key: str) -> Suppression:
    try:
        return session.get(Suppression, bytes.fromhex(key)) or abort(404)
    except ValueError:
        abort(404)


def _release_page(key: str, form: Form | None) -> str:
    with edge.reading() as session:
        entry = _entry(session, key)
        member = session.scalar(select(Member).where(Member.address_key == entry.address_key))
        is_complaint = entry.reason == SuppressionReason.COMPLAINT
        return render_template(
            "admin/suppression_release.html", entry=entry, member=member, form=form, actors=actors(session, [entry.actor]),
            is_erased=entry.reason == SuppressionReason.ERASED,
            needs_member=is_complaint and not suppression.has_asked_again(session, entry), is_complaint=is_complaint,
        )  # fmt: skip
