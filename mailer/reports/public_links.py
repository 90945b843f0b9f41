"""Links by which people without an account see a campaign's figures: unguessable, shown once, ended by a date or by hand."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from kairan.models.reports import ReportLink

TOKEN_BYTES = 24
LINKS_MAX = 20
DOMAIN_MIN = 10
"""openers: a domain with fewer may be a person's own"""


class TooMany(ValueError):
    """The campaign has as many links as it may have."""


def make(session: Session, campaign_id: int, *, by: int | None, ends_at: datetime | None, now: datetime) -> tuple[ReportLink, str]:
    """The link's row and its token, which is not kept. Raises TooMany."""
    if len(of_campaign(session, campaign_id, now)) >= LINKS_MAX:
        raise TooMany
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = ReportLink(campaign_id=campaign_id, key=_key(token), created_by=by, created_at=now, ends_at=ends_at)
    session.add(row)
    session.flush()
    return row, token


def campaign_of(session: Session, token: str, now: datetime) -> int | None:
    """None: there is no such link, or it has ended."""
    query = select(ReportLink.campaign_id).where(ReportLink.key == _key(token), _holds(now))
    return session.execute(query).scalar_one_or_none()


def of_campaign(session: Session, campaign_id: int, now: datetime) -> Sequence[ReportLink]:
    """Those that hold."""
    return session.scalars(select(ReportLink).where(ReportLink.campaign_id == campaign_id, _holds(now)).order_by(ReportLink.id)).all()


def end(session: Session, campaign_id: int, link_id: int) -> bool:
    """False: it was not there."""
    gone = session.execute(delete(ReportLink).where(ReportLink.id == link_id, ReportLink.campaign_id == campaign_id))
    return bool(gone.rowcount)  # type: ignore[attr-defined]


def _holds(now: datetime) -> ColumnElement[bool]:
    return or_(ReportLink.ends_at.is_(None), ReportLink.ends_at > now)


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
