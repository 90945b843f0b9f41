"""Each link position of a campaign with what came of it: which image, which text."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from kairan.models.campaigns import Link
from kairan.models.events import EventKind, Rollup


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """`clicks` by people; `unique`: deliveries whose member clicked this position at least once; `machines` apart."""

    number: int
    kind: str
    label: str
    url: str
    clicks: int
    unique: int
    machines: int


def links(session: Session, campaign_id: int) -> list[LinkFigures]:
    """In the order of the mail; one that nobody clicked is there as well."""
    is_its = and_(Rollup.campaign_id == Link.campaign_id, Rollup.link == Link.number, Rollup.kind == EventKind.CLICK)
    columns: tuple[Any, ...] = Link.number, Link.kind, Link.label, Link.url
    sums = [func.coalesce(func.sum(column), 0) for column in (Rollup.people, Rollup.unique, Rollup.machines)]
    rows = session.execute(
        select(*columns, *sums).outerjoin(Rollup, is_its).where(Link.campaign_id == campaign_id).group_by(*columns).order_by(Link.number)
    )
    return [LinkFigures(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]), int(row[6])) for row in rows]
