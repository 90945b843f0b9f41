"""Whole domains on the suppression list: no mail to any address there, whoever comes to have one. Domains below it are others."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.models.audience import Member
from kairan.models.suppression import SuppressedDomain
from kairan.sql import email_domain, insert

REASON = "domain"
"""in the place of a SuppressionReason, wherever it is said why a member gets no mail"""
PAGE_MAX = 1_000


def any_suppressed() -> ColumnElement[bool]:
    """Asked once for a whole statement: most installations suppress no domain, and then no member is looked up."""
    return exists(select(SuppressedDomain.domain))


def suppressed() -> ColumnElement[bool]:
    """For a statement over `members`: the member's domain is on the list."""
    domain = email_domain(Member.email)
    found = exists().where(or_(SuppressedDomain.domain == domain, SuppressedDomain.written == domain)).correlate(Member)
    return and_(any_suppressed(), found)


def holds(session: Session, address: str) -> bool:
    """Whether the domain of a valid address is on the list."""
    domain = addresses.normal(address).rpartition("@")[2]
    return session.get(SuppressedDomain, domain) is not None


def add(session: Session, domain: str, *, now: datetime, actor: str, note: str = "") -> bool:
    """False: it was on it. Raises AddressError for what is no domain.

    Members are not locked one by one: whoever answers calls `waiting.wait_out` after the commit.
    """
    form = addresses.domain(domain)
    values = {"domain": form.ascii, "written": form.written, "note": note, "actor": actor, "created_at": now}
    added = session.execute(
        insert(session, SuppressedDomain).values(**values).on_conflict_do_nothing().returning(SuppressedDomain.domain)
    ).one_or_none()
    return added is not None


def release(session: Session, domain: str) -> bool:
    """False: it was not on it. What its addresses are on the list for themselves stays."""
    gone = session.execute(delete(SuppressedDomain).where(SuppressedDomain.domain == domain).returning(SuppressedDomain.domain))
    return gone.one_or_none() is not None


def members_at(session: Session, domain: str) -> int:
    """How many members have an address there. Raises AddressError."""
    form = addresses.domain(domain)
    query = select(func.count()).select_from(Member).where(email_domain(Member.email).in_({form.ascii, form.written}))
    return session.execute(query).scalar_one()


def page(session: Session, *, after: str = "", limit: int = 100) -> tuple[list[SuppressedDomain], str | None]:
    """(domains in their order, the one to go on after or None)."""
    limit = min(limit, PAGE_MAX)
    query = select(SuppressedDomain).where(SuppressedDomain.domain > after).order_by(SuppressedDomain.domain).limit(limit + 1)
    rows = list(session.execute(query).scalars())
    return rows[:limit], rows[limit - 1].domain if len(rows) > limit else None
