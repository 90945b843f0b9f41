"""Slower rates for named groups of recipient domains, the ready ones of kairan.mail_domains or the operator's own.

Nothing here holds until somebody switches it on, for one provider or for the installation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from kairan.mail_domains import READY, Group
from kairan.models.deliveries import DomainRate

__all__ = ["READY", "Group"]


@dataclass(frozen=True, slots=True)
class Limit:
    """What holds for one group at one provider."""

    name: str
    domains: tuple[str, ...]
    rate: float


def limits(session: Session, provider_id: int) -> list[Limit]:
    """The installation's groups with the provider's own over them."""
    rows = session.scalars(
        select(DomainRate).where(or_(DomainRate.provider_id.is_(None), DomainRate.provider_id == provider_id)).order_by(DomainRate.id)
    ).all()
    chosen: dict[str, DomainRate] = {}
    for row in sorted(rows, key=lambda row: row.provider_id is not None):
        chosen[row.name] = row
    return [Limit(row.name, domains_of(row), row.rate) for row in chosen.values() if domains_of(row)]


def domains_of(row: DomainRate) -> tuple[str, ...]:
    """A group that left the ready table has none, and limits nothing."""
    if row.domains is not None:
        return tuple(str(domain).lower() for domain in row.domains)
    return READY[row.name].domains if row.name in READY else ()


def switched_on(session: Session, provider_id: int | None) -> list[DomainRate]:
    """The rows of this provider, or of the installation."""
    return list(session.scalars(select(DomainRate).where(_whose(provider_id)).order_by(DomainRate.id)))


def put(
    session: Session, provider_id: int | None, ready: Mapping[str, float], own: Iterable[tuple[str, tuple[str, ...], float]], now: datetime
) -> None:
    """Replaces what is switched on: groups of the ready table with their rates, and groups of the operator's own."""
    session.execute(delete(DomainRate).where(_whose(provider_id)))
    session.add_all(
        [
            *(DomainRate(provider_id=provider_id, name=name, domains=None, rate=rate, updated_at=now) for name, rate in ready.items()),
            *(DomainRate(provider_id=provider_id, name=name, domains=list(names), rate=rate, updated_at=now) for name, names, rate in own),
        ]
    )
    session.flush()


def _whose(provider_id: int | None) -> ColumnElement[bool]:
    return DomainRate.provider_id.is_(None) if provider_id is None else DomainRate.provider_id == provider_id
