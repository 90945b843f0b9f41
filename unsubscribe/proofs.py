"""`/confirm/TOKEN`: an address is proved by a mail to it. GET shows one button and changes nothing, since scanners fetch every link."""

from flask import abort, render_template, request
from sqlalchemy.orm import Session

from kairan import clock, installation, outbox
from kairan.addresses import masked
from kairan.models.audience import AddressChange
from kairan.runtime import runtime
from kairan.tokens import PROOF_ADDRESS, Act, TokenError, preferences_path
from unsubscribe import ledger, moving, moving_mail
from unsubscribe.pages import member_of, of_members, ring, write

blueprint = of_members("proofs")


@blueprint.get("/confirm/<path:token>")
def show(token: str) -> str | tuple[str, int]:
    return _page(_request_id(token))


@blueprint.post("/confirm/<path:token>")
def confirm(token: str) -> str | tuple[str, int]:
    change_id = _request_id(token)
    with runtime().reading() as session:
        act = Act(_find(session, change_id).member_id, 0)
    if write(act, lambda session: _move(session, change_id)):
        ring(outbox.ring)
    return _page(change_id)


def _request_id(token: str) -> int:
    try:
        proof = runtime().secrets.tokens.read_proof(token)
    except TokenError:
        abort(404)
    return proof.request_id if proof.kind == PROOF_ADDRESS else abort(404)


def _find(session: Session, change_id: int) -> AddressChange:
    """404 also for one that is forgotten: nobody confirmed it in time, or the member is gone."""
    return session.get(AddressChange, change_id) or abort(404)


def _move(session: Session, change_id: int) -> bool:
    """Whether it happened now, so that mail waits to be sent."""
    now, seen = clock.now(), ledger.evidence(request.remote_addr, request.user_agent.string)
    moved = moving.confirm(session, change_id, now=now, evidence=seen)
    if moved is not None and moved.before and moving_mail.can_be_sent(session):
        member_id = _find(session, change_id).member_id
        moving_mail.put_notice(session, member_id, moved.before, moved.email, now=now)
    return moved is not None


def _page(change_id: int) -> str | tuple[str, int]:
    with runtime().reading() as session:
        change = _find(session, change_id)
        member = member_of(session, Act(change.member_id, 0))
        # A second tap, or the page loaded again, is told the same as the first.
        is_done = change.confirmed_at is not None and member.address_key == change.address_key
        is_open = (
            moving.is_open(change, clock.now()) and change.before_key == member.address_key and moving.is_free(session, change.address_key)
        )
        shown = {
            "organisation": installation.get(session, "organisation"),
            "action": request.path,
            "masked_address": masked(change.email),
            "is_done": is_done,
            "is_open": is_open,
            "preferences_href": preferences_path(runtime().secrets.tokens.act(member.id, 0)),
        }
    return render_template("public/confirm_address.html", **shown), 200 if is_done or is_open else 410
