"""What people read a campaign with and on, and where: the largest values of an aspect, the rest together."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan.models.events import Aspect, Facet

LIMIT = 8


@dataclass(frozen=True, slots=True)
class FacetFigures:
    """`openers` and `clickers`: deliveries whose first open, first click by a person was such a one; over all values they add up to the
    unique opens and clicks. `opens`, `clicks`: every time, with members recorded in the aggregate. `machines` are in none of them."""

    value: str
    """'': not known"""
    openers: int
    clickers: int
    opens: int
    clicks: int
    machines: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The largest by openers, then the rest as one (None: there is none), and all of them together."""

    rows: list[FacetFigures]
    rest: FacetFigures | None
    total: FacetFigures


_SUMS = (Facet.openers, Facet.clickers, Facet.opens, Facet.clicks, Facet.machines)


def ranking(session: Session, campaign_id: int, aspect: Aspect, *, limit: int = LIMIT) -> Ranking:
    """Of values that people's fetches have; what only machines have is in the total's `machines`."""
    its = Facet.campaign_id == campaign_id, Facet.aspect == aspect
    total = FacetFigures("", *_ints(session.execute(select(*(func.coalesce(func.sum(each), 0) for each in _SUMS)).where(*its)).one()))
    people = select(Facet.value, *_SUMS).where(*its, Facet.opens + Facet.clicks > 0)
    ranked = people.order_by(Facet.openers.desc(), Facet.clickers.desc(), Facet.opens.desc(), Facet.value).limit(limit)
    rows = [FacetFigures(row[0], *_ints(row[1:])) for row in session.execute(ranked)]
    return Ranking(rows, _rest(total, rows), total)


def by_rule(session: Session, campaign_id: int) -> list[FacetFigures]:
    """Machines by the rule that told them, the most first."""
    query = select(Facet.value, *_SUMS).where(Facet.campaign_id == campaign_id, Facet.aspect == Aspect.RULE, Facet.machines > 0)
    return [FacetFigures(row[0], *_ints(row[1:])) for row in session.execute(query.order_by(Facet.machines.desc(), Facet.value))]


def _rest(total: FacetFigures, rows: list[FacetFigures]) -> FacetFigures | None:
    def left(name: str) -> int:
        return int(getattr(total, name)) - sum(int(getattr(row, name)) for row in rows)

    rest = FacetFigures("", left("openers"), left("clickers"), left("opens"), left("clicks"), 0)
    return rest if rest.opens or rest.clicks else None


def _ints(row: Any) -> list[int]:
    return [int(value) for value in row]
