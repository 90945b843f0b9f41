"""Which variant a delivery gets: its number says it, so nothing is stored for it and a retry gets the same.

Numbers are spread by the golden ratio (Knuth, TAOCP 3, 6.4, multiplicative hashing; Weyl's sequence): any run of members falls onto
the variants as evenly as can be, and a share of it differs from the share asked for by a few mails only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, literal, null

TURN = 2_654_435_769
"""2**32 divided by the golden ratio, odd"""
CIRCLE = 2**32


@dataclass(frozen=True, slots=True)
class Split:
    """`share`: percent of the deliveries that are the test; the rest get the winner, or wait for it (None)."""

    variants: int
    share: int = 100
    winner: int | None = None

    def variant_of(self, number: int) -> int | None:
        """The place of its variant, 0 for A; None: it waits for the winner."""
        at = number * TURN % CIRCLE
        for variant, end in enumerate(self._ends()):
            if at < end:
                return variant
        return self.winner

    def column(self, number: ColumnElement[int]) -> ColumnElement[int | None]:
        """The same in the database, for the test alone: NULL for the rest, whoever won."""
        whole = BigInteger()
        at = (cast(number, whole) * literal(TURN, whole)) % literal(CIRCLE, whole)
        return case(*((at < literal(end, whole), variant) for variant, end in enumerate(self._ends())), else_=null())

    def _ends(self) -> list[int]:
        return [CIRCLE * self.share * (variant + 1) // (100 * self.variants) for variant in range(self.variants)]


def of(trial: Mapping[str, Any] | None, variants: int) -> Split | None:
    """None: there is but one mail. `trial` is the campaign's document (mailer.campaigns.trials)."""
    if variants < 2:
        return None
    return Split(variants, trial["share"], trial.get("winner")) if trial else Split(variants)


def waiting(trial: Mapping[str, Any] | None) -> Split | None:
    """The split of a campaign whose deliveries are being written, where some of them have to wait for a winner."""
    if not trial or trial["share"] >= 100 or trial.get("winner") is not None:
        return None
    return Split(trial["variants"], trial["share"])
