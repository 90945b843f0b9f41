"""The ledger of consent: one row for each act of will, with the words agreed to and the evidence; rows are added and never changed."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import feed
from kairan.models.audience import Member
from kairan.models.consent import ConsentAct, ConsentRow, ConsentSource, Wording
from kairan.sql import insert, locked

USER_AGENT_MAX = 200
OWN_DOORS = (ConsentSource.ONE_CLICK, ConsentSource.PAGE, ConsentSource.MAILTO)
"""a no that came through one of these is the member's own: neither staff nor a file takes it back"""


class UnknownMember(LookupError):
    """There is no such member (any more)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that the act took place: never more of the network than its prefix, and only what came over the web."""

    network: str | None = None
    user_agent: str | None = None

    def as_detail(self) -> dict[str, str]:
        found = {"network": self.network, "user_agent": self.user_agent}
        return {name: value for name, value in found.items() if value}


NO_EVIDENCE = Evidence()


def evidence(address: str | None, user_agent: str | None) -> Evidence:
    """Of a request: its network as /24 or /48, and the user agent, at most 200 characters."""
    return Evidence(_network(address), (user_agent or "")[:USER_AGENT_MAX] or None)


def _network(address: str | None) -> str | None:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def hold(session: Session, member_id: int) -> Member:
    """The member as of now, locked: what every no takes first, so that no gate passes it unseen. Raises UnknownMember."""
    query = locked(select(Member).where(Member.id == member_id), session).execution_options(populate_existing=True)
    member: Member | None = session.execute(query).scalar_one_or_none()
    if member is None:
        raise UnknownMember(member_id)
    return member


def write(
    session: Session,
    member: Member,
    act: ConsentAct,
    source: ConsentSource,
    *,
    now: datetime,
    happened_at: datetime | None = None,
    purpose_id: int | None = None,
    list_id: int | None = None,
    campaign_id: int | None = None,
    wording_id: int | None = None,
    detail: dict[str, Any] | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> ConsentRow:
    row = ConsentRow(
        member_id=member.id,
        address_key=member.address_key,
        act=act,
        source=source,
        purpose_id=purpose_id,
        list_id=list_id,
        campaign_id=campaign_id or None,
        wording_id=wording_id,
        detail={**(detail or {}), **evidence.as_detail()},
        happened_at=happened_at or now,
        recorded_at=now,
    )
    session.add(row)
    session.flush()
    if told := _FEED.get(act) or (_SUPPRESSED.get(source) if act == ConsentAct.SUPPRESS else None):
        told_of = {"source": str(source), "list": list_id}
        feed.put(session, told, row.happened_at, member_id=member.id, campaign_id=campaign_id, detail=told_of)
    return row


_FEED = {ConsentAct.OPT_OUT: "unsubscribe", ConsentAct.LEAVE_ALL: "unsubscribe"}
_SUPPRESSED = {ConsentSource.BOUNCE: "bounce", ConsentSource.COMPLAINT: "complaint"}
"""what webhooks are told of"""


def wording(session: Session, text: str, *, now: datetime) -> int | None:
    """The id of these exact words; equal words are one row. None for no words."""
    if not text.strip():
        return None
    digest = sha256(text.encode()).digest()
    session.execute(insert(session, Wording).values(hash=digest, text=text, created_at=now).on_conflict_do_nothing())
    return session.execute(select(Wording.id).where(Wording.hash == digest)).scalar_one()


def has_left(session: Session, address_key: bytes) -> bool:
    """The last word of this address on mail as a whole was a no. It stands whatever else the suppression list says by now."""
    last = session.execute(
        select(ConsentRow.act)
        .where(
            ConsentRow.address_key == address_key,
            ConsentRow.act.in_([ConsentAct.LEAVE_ALL, ConsentAct.RETURN, ConsentAct.RELEASE]),
            ConsentRow.list_id.is_(None),
        )
        .order_by(ConsentRow.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    return last == ConsentAct.LEAVE_ALL
