"""How sure a rate is, and a difference of two: intervals that hold for few members and for rates near nought."""

from dataclasses import dataclass
from math import sqrt

Z = 1.959964
"""of the normal distribution, for 95 %"""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its bounds, all from 0 to 1."""

    share: float
    low: float
    high: float


def wilson(hits: int, count: int) -> Interval | None:
    """Wilson's score interval of hits out of count (Wilson 1927; recommended by Brown, Cai, DasGupta 2001). None: nothing was counted."""
    if count <= 0:
        return None
    share = min(hits, count) / count
    spread = 1 + Z * Z / count
    centre = (share + Z * Z / (2 * count)) / spread
    half = Z * sqrt(share * (1 - share) / count + Z * Z / (4 * count * count)) / spread
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def newcombe(one: Interval, other: Interval) -> tuple[float, float]:
    """The bounds of the difference one - other (Newcombe 1998, method 10: the score intervals of both, squared and added)."""
    difference = one.share - other.share
    low = difference - sqrt((one.share - one.low) ** 2 + (other.high - other.share) ** 2)
    high = difference + sqrt((one.high - one.share) ** 2 + (other.share - other.low) ** 2)
    return low, high
