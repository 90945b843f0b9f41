"""What people read a campaign with and on, and where: the largest values of an aspect, the rest together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
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


def rankings(session: Session, campaign_id: int, *, limit: int = LIMIT) -> dict[Aspect, Ranking]:
    """Of every aspect, in one look: a look for each cost a page at ten million events 2 of its 10 ms.

    Values that people's fetches have; what only machines have is in the total's `machines`.
    """
    of_people = case((Facet.opens + Facet.clicks > 0, 1), else_=0)
    order = (of_people.desc(), Facet.openers.desc(), Facet.clickers.desc(), Facet.opens.desc(), Facet.value)
    place = func.row_number().over(partition_by=Facet.aspect, order_by=order).label("place")
    totals = [func.sum(column).over(partition_by=Facet.aspect).label(f"all_{at}") for at, column in enumerate(_SUMS)]
    ranked = select(Facet.aspect, Facet.value, *_SUMS, place, *totals).where(Facet.campaign_id == campaign_id).subquery()
    found: dict[Aspect, list[Any]] = {aspect: [] for aspect in Aspect}
    for row in session.execute(select(ranked).where(ranked.c.place <= limit).order_by(ranked.c.aspect, ranked.c.place)):
        found[Aspect(row.aspect)].append(row)
    return {aspect: _ranking(rows) for aspect, rows in found.items()}


def ranking(session: Session, campaign_id: int, aspect: Aspect, *, limit: int = LIMIT) -> Ranking:
    """Of one aspect."""
    return rankings(session, campaign_id, limit=limit)[aspect]


def _ranking(rows: Sequence[Any]) -> Ranking:
    if not rows:
        return Ranking([], None, FacetFigures("", 0, 0, 0, 0, 0))
    kept = [FacetFigures(row[1], *_ints(row[2:7])) for row in rows]
    total = FacetFigures("", *_ints(rows[0][8:13]))
    named = [row for row in kept if row.opens + row.clicks > 0]
    return Ranking(named, _rest(total, named), total)


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
