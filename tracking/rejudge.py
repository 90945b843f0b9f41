"""What today's rules say of events judged by those of then, from what is kept of them.

The agent is gone; its rule, client, device and network stay. So a rule that was turned round or taken out is followed, and so are other
seconds for `early` and `burst`. A new pattern reaches only what comes from now on.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from kairan.models.deliveries import State
from kairan.models.events import EventKind
from tracking import machines, networks

AT_FIRST = "early/1 burst/1"
"""the timed rules of the first release: what an installation without a mark was judged by"""
_MS = timedelta(milliseconds=1)


class Kept(NamedTuple):
    """An event with what of its delivery a verdict needs."""

    number: int
    occurred_at: datetime
    entry: int
    slot: int
    kind: int
    link: int
    machine: bool
    rule: str
    client: str | None
    device: str | None
    country: str | None
    state: int
    ended_at: datetime | None
    email: str | None
    """the member's; None: erased"""


class Told(NamedTuple):
    machine: bool
    rule: str


def timed_rules() -> str:
    """Names and versions of the rules that go by time; where they differ from an installation's mark, time is looked at again."""
    return f"{machines.EARLY} {machines.BURST}"


def judged(rows: Sequence[Kept], *, timed: bool) -> list[Told]:
    """The verdicts on one delivery's events, in their order. `timed`: time and company are judged anew too."""
    told = [by_name(row.rule, row.client, timed=timed) for row in rows]
    return _by_company(rows, [_by_time(row, each) for row, each in zip(rows, told, strict=True)]) if timed else told


@lru_cache(maxsize=4_000)
def by_name(rule: str, client: str | None, *, timed: bool) -> Told:
    """What the table of today says of a rule of then and the client it named; `timed` takes `early` and `burst` back first."""
    name = _stem(rule)
    if name in (_stem(machines.EARLY), _stem(machines.BURST)):
        return _people(client) if timed else Told(True, rule)
    if name == _stem(machines.PERSON):
        return Told(False, machines.PERSON)
    if name in (_stem(machines.HEAD), _stem(networks.GATEWAY.rule)):
        return Told(True, machines.HEAD if name == _stem(machines.HEAD) else networks.GATEWAY.rule)
    same = [each for each in machines.AGENT_RULES if _stem(each.rule) == name]
    found = next((each for each in same if each.client == client), same[0] if same else None)
    return Told(found.machine, found.rule) if found else Told(False, machines.PERSON)


def _people(client: str | None) -> Told:
    """Whose fetch it was before time spoke: nobody's we know, or a provider's proxy."""
    proxy = next((each for each in machines.AGENT_RULES if each.client == client and not each.machine), None)
    return Told(False, proxy.rule if proxy else machines.PERSON)


def _stem(rule: str) -> str:
    return rule.partition("/")[0]


def _by_time(row: Kept, told: Told) -> Told:
    if told.machine or row.ended_at is None or row.state != State.ACCEPTED:
        return told
    after = (row.occurred_at - row.ended_at) / _MS
    return Told(True, machines.EARLY) if -machines.BEFORE_MS < after < machines.EARLY_MS else told


def _by_company(rows: Sequence[Kept], told: list[Told]) -> list[Told]:
    """As tracking.steps does it, over all clicks of the delivery."""
    clicks = [row for row, each in zip(rows, told, strict=True) if row.kind == EventKind.CLICK and not each.machine]
    if len(clicks) < machines.BURST_CLICKS:
        return told
    return [Told(True, machines.BURST) if row in clicks and _in_burst(row, clicks) else each for row, each in zip(rows, told, strict=True)]


def _in_burst(row: Kept, clicks: Sequence[Kept]) -> bool:
    near = [other for other in clicks if abs(other.occurred_at - row.occurred_at) <= machines.BURST_MS * _MS]
    return len(near) >= machines.BURST_CLICKS and len({other.link for other in near}) > 1
