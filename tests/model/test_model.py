"""The protocol keeps its promises in every state, and each of its rules is needed: without it the model finds a counterexample."""

import pytest

from tests.model.delivery import PROTOCOL, Model
from tests.model.explore import INSTANCES, MUTANTS, explore

BIG = {"journal truncated at record", "attempt instead of fence", "C1 without the heartbeat, suspended host"}
"""counterexamples beyond 50,000 states: 2 to 7 s each"""
STATES_QUICK = 6_000
"""of each instance in the quick suite; breadth-first these are the shortest ways into trouble"""
STATES_WHOLE = 1_500_000
"""about 3 GB and 2 minutes; 26 of the 27 instances of the protocol's first check ended before"""


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in BIG else ()) for name in MUTANTS])
def test_a_protocol_without_this_rule_breaks_a_promise(name: str) -> None:
    change, instance = MUTANTS[name]

    explored = explore(Model({**PROTOCOL, **change}, **instance), first=True)

    assert explored.found


def _instances() -> list[tuple[str, bool]]:
    """A lost host is PostgreSQL's matter: SQLite has one."""
    return [(name, sqlite) for name, given in INSTANCES.items() for sqlite in (False, True) if not (sqlite and "hosts" in given)]


@pytest.mark.parametrize(("name", "sqlite"), _instances())
def test_the_shortest_ways_into_trouble_break_no_promise(name: str, sqlite: bool) -> None:
    explored = explore(Model(PROTOCOL, sqlite=sqlite, **INSTANCES[name]), states_max=STATES_QUICK)

    assert explored.found == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "sqlite"), _instances())
def test_no_state_at_all_breaks_a_promise(name: str, sqlite: bool) -> None:
    explored = explore(Model(PROTOCOL, sqlite=sqlite, **INSTANCES[name]), states_max=STATES_WHOLE)

    assert explored.found == {}
