"""Nothing twice and nothing lost, whatever is killed: workers and their horses with -9, and Valkey (F1, F2, F7)."""

import os
import random
import signal
import threading
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from kairan.models.audience import Member
from kairan.models.deliveries import Delivery, State
from tests.faults import invariants, noes
from tests.faults.conftest import Sending
from tests.support.installation import wait_for

CONNECTIONS = 20


def _processes(sending: Sending, words: str) -> list[int]:
    """Processes of this installation whose command line holds these words; Valkey writes over its environment, so by its socket."""
    folder = sending.installation.environment["KAIRAN_DATA_DIR"]
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = Path(f"/proc/{entry}/cmdline").read_text().replace("\0", " ")
            environment = Path(f"/proc/{entry}/environ").read_text("utf-8", "replace")
        except OSError:
            continue
        if words in command and (folder in environment or words.endswith(".sock")):
            found.append(int(entry))
    return found


def _kill(pids: list[int], chance: random.Random) -> bool:
    if not pids:
        return False
    try:
        os.kill(chance.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _kill_while_it_goes_out(sending: Sending, kills: int, chance: random.Random) -> int:
    """`kills` of lane workers or their horses at random moments, Valkey in the middle of them. Returns how many there were."""
    done, valkey_killed = 0, False
    while sending.sink.accepted() < sending.count * 0.9 and done < kills:
        if sending.sink.accepted() and _kill(_processes(sending, "worker lane"), chance):
            done += 1
        if done >= kills // 2 and not valkey_killed and len(sending.installation.processes) == 1:
            socket = (Path(sending.installation.environment["KAIRAN_DATA_DIR"]) / "valkey.socket").read_text("utf-8").strip()
            valkey_killed = _kill(_processes(sending, socket), chance)
        _wait_for_more(sending, chance.uniform(0.02, 0.8 / kills) * sending.count)
    return done


def _wait_for_more(sending: Sending, mails: float) -> None:
    """Until the sink has accepted so many more: counted in mails, a kill falls into the sending on a fast machine and on a slow one."""
    until = min(sending.sink.accepted() + mails, sending.count * 0.9)
    wait_for("more mails are accepted", lambda: sending.sink.accepted() >= until, 120, every=0.002)


def _check(sending: Sending, kills: int, also: Set[str] = frozenset()) -> dict[str, int]:
    states, accepted = sending.states(), sending.moments("D")
    with sending.ground.reading() as session:
        rows = session.execute(select(Member.email, Delivery.state).join(Member, Member.id == Delivery.member_id)).all()
    told_accepted = {email for email, state in rows if state == State.ACCEPTED}
    uncertain = {email for email, state in rows if state == State.UNCERTAIN}

    assert [email for email, times in accepted.items() if len(times) > 1] == []  # I1: nobody twice
    assert sum(states.values()) == sending.count  # I2: the states add up
    assert set(states) <= {"accepted", "uncertain", *also}
    assert told_accepted <= set(accepted)  # I3: nothing is called accepted that was not
    assert set(accepted) <= told_accepted | uncertain
    assert len(uncertain) <= CONNECTIONS * kills  # I5
    tally = invariants.Tally(recipients=sending.count, uncertain=len(uncertain), bound=CONNECTIONS * kills, kills=kills)
    invariants.note(tally, "SQLite" if sending.ground.database.is_sqlite else "PostgreSQL")
    return states


@pytest.mark.slow  # half a minute, of which ten seconds wait for a sweep; test_crash_points and test_horse kill in the quick suite
@pytest.mark.timeout(240)
def test_a_killed_worker_neither_doubles_nor_loses_nor_mails_after_a_no(begin: Callable[..., Any]) -> None:
    with begin(2_500, each_us=400) as sending:
        answered: dict[str, tuple[str, int]] = {}
        members = noes.last_members(sending, 40)
        speaking = threading.Thread(target=lambda: answered.update(noes.say_no(sending, members)))
        # Who says no before the snapshot comes to them gets no delivery; these are to be stopped at the gate.
        wait_for("it goes out", lambda: sending.sink.accepted() and sum(sending.states().values()) == sending.count, every=0.01)

        speaking.start()
        kills = _kill_while_it_goes_out(sending, 1, random.Random(1))
        speaking.join()
        wait_for("the campaign is sent", lambda: sending.status() == "sent", 90)

        assert kills == 1
        assert len(answered) == 40
        assert noes.mailed_after(sending, answered) == []
        _check(sending, kills, {"suppressed"})


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_twenty_thousand_with_ten_kills_and_a_lost_valkey(begin: Callable[..., Any]) -> None:
    with begin(20_000, each_us=100) as sending:
        kills = _kill_while_it_goes_out(sending, 10, random.Random(7))
        wait_for("the campaign is sent", lambda: sending.status() == "sent", 240)

        assert kills == 10
        _check(sending, kills)
