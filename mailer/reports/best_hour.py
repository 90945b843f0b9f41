"""At which hour of the day campaigns were opened most, as far as the data shows it.

An hour's figure is the mean of its campaigns' open rates, with a 95 % interval of Student's t over campaigns, not over members: mails of
one campaign are read alike, so a million members of one campaign are one observation.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from mailer.reports.over import CampaignResult

CAMPAIGNS_MIN = 3
"""an hour with fewer tells nothing"""
ACCEPTED_MIN = 30
"""members; a campaign to fewer is left out"""
_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
    2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""quantiles of Student's t at 0.975 for 1 to 30 degrees of freedom"""


@dataclass(frozen=True, slots=True)
class Hour:
    hour: int
    campaigns: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """`best`: None where no hour has enough campaigns. `is_clear`: its interval lies above that of every other hour."""

    hours: list[Hour]
    best: Hour | None
    is_clear: bool
    campaigns: int
    """those that counted"""


def find(rows: Sequence[CampaignResult], zone: tzinfo) -> Finding:
    """Over the campaigns given, by the hour of this zone in which they started."""
    rates: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row.accepted >= ACCEPTED_MIN:
            rates[row.started_at.astimezone(zone).hour].append(row.openers / row.accepted)
    hours = [_hour(hour, found) for hour, found in sorted(rates.items()) if len(found) >= CAMPAIGNS_MIN]
    best = max(hours, key=lambda each: each.mean, default=None)
    clear = best is not None and len(hours) > 1 and all(best.low > each.high for each in hours if each is not best)
    return Finding(hours, best, clear, sum(map(len, rates.values())))


def _hour(hour: int, rates: Sequence[float]) -> Hour:
    count = len(rates)
    mean = sum(rates) / count
    spread = math.sqrt(sum((rate - mean) ** 2 for rate in rates) / (count - 1))
    reach = _T975[min(count - 1, len(_T975)) - 1] * spread / math.sqrt(count)
    return Hour(hour, count, mean, max(0.0, mean - reach), min(1.0, mean + reach))
