"""Breadth-first over every state of the model, and what to explore: instances that must hold, mutants that must not."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from tests.model.delivery import Model


@dataclass
class Explored:
    """What a search has seen. `found`: broken promise → what happened and the shortest way there; `complete`: nothing was left to see."""

    states: int
    complete: bool
    found: dict[str, tuple[str, list[str]]]


def explore(model: Model, *, states_max: int | None = None, first: bool = False) -> Explored:
    """Breadth-first; ends at the first broken promise if `first`, else when all or `states_max` states are seen."""
    seen: dict[bytes, tuple[bytes, str] | None] = {model.init: None}
    todo = deque([model.init])
    found: dict[str, tuple[str, list[str]]] = {}
    while todo and not (first and found) and not (states_max and len(seen) > states_max):
        state = todo.popleft()
        moves = model.succ(state)
        if all(label[0] == "!" for label, _, _ in moves):  # only faults could still happen
            moves = [*moves, ("at rest", state, model.at_rest(state))]
        for label, after, bad in moves:
            if bad:
                found.setdefault(bad[:3].strip(), (bad, [*_way(seen, state), label]))
            elif after not in seen:
                seen[after] = (state, label)
                todo.append(after)
    return Explored(len(seen), not todo, found)


def _way(seen: dict[bytes, tuple[bytes, str] | None], state: bytes) -> list[str]:
    steps: list[str] = []
    while (came := seen[state]) is not None:
        state, label = came
        steps.insert(0, label)
    return steps


H2 = dict(hosts=(0, 1), sweepers=(0, 1))
INSTANCES: dict[str, dict[str, Any]] = {  # name: what it is made of; the numbers are fault budgets
    "kill 2, drop 2, 4xx": dict(kill=2, drop=2, rej=1),
    "kill, COMMIT lost 2, drop": dict(kill=1, amb=2, drop=1),
    "two sweepers, kill 2, drop": dict(kill=2, drop=1, sweepers=(0, 0)),
    "2 hosts, stop 2, kill, drop": dict(H2, stop=2, kill=1, drop=1),
    "2 hosts, lost host, kill, drop": dict(H2, lost=1, kill=1, drop=1),
    "2 hosts, power loss, drop, 4xx": dict(H2, power=1, rej=1, drop=1),
    "opt-out, kill, drop": dict(request="optout", kill=1, drop=1),
    "opt-out, COMMIT lost, kill": dict(request="optout", kill=1, amb=1),
    "opt-out, 2 hosts, stop, kill": dict(H2, request="optout", stop=1, kill=1),
    "opt-out, 2 hosts, suspend": dict(H2, request="optout", suspend=1),
    "choice, stop, COMMIT lost": dict(request="choice", stop=1, amb=1),
    "pause-edit-resume, stop": dict(pause=True, stop=1),
    "pause-edit-resume, kill, COMMIT lost": dict(pause=True, kill=1, amb=1, fmax=2),
    "2 rows, 1 member, opt-out, 2 connections": dict(rows=2, request="optout", conns=2, fmax=2),
    "2 rows, 2 members, kill, 2 connections": dict(rows=2, members=2, kill=1, conns=2, fmax=1),
    "2 rows, 2 members, kill, drop": dict(rows=2, members=2, kill=1, drop=1, fmax=2),
}
MUTANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # name: (change to the corrected protocol, instance)
    "D behind message and dot": (dict(d_first=False), dict(kill=1)),
    "no member lock": (dict(member_lock=False), dict(request="optout")),
    "no wait": (dict(wait=False), dict(request="optout")),
    "splice before the gate": (dict(splice_after=False), dict(request="choice")),
    "attempt instead of fence": (dict(fence=False), dict(kill=1, drop=1)),
    "journal truncated at record": (dict(truncate=True), dict(rows=2, kill=1, fmax=2)),
    "recovery without the lock check": (dict(lockcheck=False), dict()),
    "MAIL behind the dot": (dict(pipeline=True), dict(rows=2, request="optout")),
    "facts read in the statement that locks": (dict(facts_after_locks=False), dict(request="optout")),
    "t0 after the commit": (dict(t0_first=False), dict(request="optout")),
    "re-gate without a new splice": (dict(resplice=False), dict(request="choice")),
    "recovery by number, not fence and lane": (dict(by_fence=False), dict(kill=1, drop=1)),
    "without C1, kill": (dict(lane_lock=False), dict(kill=1)),
    "C1 without waiting for an open gate": (dict(open_gate=False), dict(kill=1)),
    "C1 without the heartbeat, suspended host": (dict(renew=False), dict(H2, request="optout", suspend=1)),
    "without C2": (dict(regate_lane=False), dict(amb=1)),
    "without C3, 2 rows": (dict(life_lock=False), dict(rows=2, kill=1, fmax=1)),
    "without C3 and C1": (dict(life_lock=False, lane_lock=False), dict(drop=1)),
    "without C4": (dict(with_r=False), dict(kill=1)),
    "without C5": (dict(host_lease=False), dict(H2, stop=1)),
    "without C6": (dict(resume=""), dict(pause=True)),
    "C6 ends early when no row is sending": (dict(resume="rows"), dict(pause=True)),
    "without C7, release in one statement": (dict(release_lock=False), dict(drop=1)),
    "without C7, nobody makes the chunk due": (dict(requeue_due=False), dict(kill=1)),
}
