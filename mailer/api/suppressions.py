"""The suppression list by API: whose address gets no mail, and why; put on it and taken off by staff."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.consent import ConsentSource
from kairan.models.suppression import SuppressionReason
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, missing, wrong_parameter
from mailer.api.shapes import PAGE_MAX, Address, Given, MaybeLine, Shown, text_id
from unsubscribe import suppression

_KEY = re.compile(r"[0-9a-f]{32}")


class NewSuppression(Given):
    email: Address
    note: MaybeLine = ""


class SuppressionQuery(Given):
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    limit: int = Field(100, ge=1, le=PAGE_MAX)
    reason: Literal["unsubscribed", "complaint", "bounced", "erased", "staff"] | None = None
    email: Annotated[str, StringConstraints(max_length=300)] | None = None


class ReleaseQuery(Given):
    reason: MaybeLine


class SuppressionAdded(Shown):
    """Without the address: this answer is kept for a day under its Idempotency-Key."""

    id: str
    reason: str
    member_id: str | None
    created_at: datetime


class SuppressionShown(SuppressionAdded):
    """`source`: the door it came through; `actor`: who it was (account:3, token:2, member), empty for nobody in particular."""

    email: str | None
    """known only while a member has the address"""
    note: str
    source: str
    actor: str
    campaign_id: str | None


class SuppressionPage(Shown):
    items: list[SuppressionShown]
    next: str | None


def _shown(call: Call, entry: suppression.Entry) -> SuppressionShown:
    email = entry.email if entry.email is None or call.may("member.address") else addresses.masked(entry.email)
    return SuppressionShown(
        id=entry.id,
        reason=entry.reason,
        member_id=text_id(entry.member_id),
        created_at=entry.created_at,
        email=email,
        note=entry.note,
        source=entry.source,
        actor=entry.actor,
        campaign_id=text_id(entry.campaign_id),
    )


@operation("GET", "/suppressions", "suppression.view", {200: SuppressionPage}, query=SuppressionQuery)
def index(call: Call, query: SuppressionQuery) -> Answer:
    """The list, or what stands there for one address."""
    key = None
    if query.email is not None:
        try:
            key = call.ground.secrets.address_key(addresses.normal(query.email))
        except addresses.AddressError:
            return call.say(200, SuppressionPage(items=[], next=None))
    with call.reading() as session:
        after = bytes.fromhex(query.cursor or "")
        entries, more = suppression.page(session, after=after, limit=query.limit, reason=query.reason, address_key=key)
        items = [_shown(call, entry) for entry in entries]
        return call.say(200, SuppressionPage(items=items, next=bytes(more).hex() if more else None))


@operation("POST", "/suppressions", "suppression.edit", {201: SuppressionAdded, 200: SuppressionAdded}, body=NewSuppression)
def create(call: Call, body: NewSuppression) -> Answer:
    """Puts an address on the list (200: it was on it). Once this is answered, no mail to it starts any more."""
    with call.effect() as session:
        key = call.ground.secrets.address_key(addresses.normal(body.email))
        member_id = session.scalar(select(Member.id).where(Member.address_key == key))
        how: dict[str, Any] = {"now": call.now, "note": body.note, "source": ConsentSource.API, "actor": call.actor}
        if member_id is None:
            added = suppression.suppress_address(session, key, SuppressionReason.STAFF, **how)
        else:
            call.no_of(member_id)
            added = suppression.suppress(session, member_id, SuppressionReason.STAFF, **how)
        if added:
            call.audit(session, "suppression.add", member_id)
        entry = _entry(session, key, how)
        shown = SuppressionAdded(id=entry.id, reason=entry.reason, member_id=text_id(member_id), created_at=entry.created_at)
        return call.say(201 if added else 200, shown)


def _entry(session: Session, key: bytes, how: dict[str, Any]) -> suppression.Entry:
    """What stands there for the address; if its member was erased this moment, now written for the address alone."""
    if not (found := suppression.page(session, address_key=key)[0]):
        suppression.suppress_address(session, key, SuppressionReason.STAFF, **how)
        found = suppression.page(session, address_key=key)[0]
    return found[0]


@operation("DELETE", "/suppressions/{suppression_key}", "suppression.edit", {204: None}, query=ReleaseQuery, problems=(404, 409))
def release(call: Call, suppression_key: str, query: ReleaseQuery) -> Answer:
    """Takes an address off the list; `reason` is kept in the member's ledger. A no of the member's own below it stays.

    One that complained has to ask for mail again first, by their own act on the preference page (409, `own-act-missing`).
    """
    if not query.reason:
        raise wrong_parameter("reason", _("This is empty."))
    if not _KEY.fullmatch(suppression_key):
        raise missing()
    with call.effect() as session:
        key = bytes.fromhex(suppression_key)
        member_id = session.scalar(select(Member.id).where(Member.address_key == key))
        try:
            if not suppression.release(session, key, now=call.now, note=query.reason):
                raise missing()
        except suppression.Erased:
            detail = _("The person of this address had their data erased. Only they themselves can come back.")
            raise Problem(409, detail, code="address-erased") from None
        except suppression.OwnActMissing:
            detail = _("They reported our mail as unwanted. They have to ask for mail again on their preference page first.")
            raise Problem(409, detail, code="own-act-missing") from None
        call.audit(session, "suppression.release", member_id)
        return call.say(204)
