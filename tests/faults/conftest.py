"""A real installation sending to a sink that notes in a ledger, before it answers, what it was asked and what it accepted."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kairan import clock, database, runtime, secrets, settings
from mailer.bench import sample, sink
from mailer.campaigns import sending
from tests.faults.stage import Stage, on
from tests.support import ground as make
from tests.support.installation import Installation, running


@dataclass
class Sending:
    """A campaign on its way through real processes."""

    installation: Installation
    ground: runtime.Runtime
    sink: sink.Sink
    ledger: Path
    campaign_id: int
    count: int

    def moments(self, what: str) -> dict[str, list[int]]:
        """recipient → monotonic nanoseconds at which its transaction began (`M`) or its mail was accepted (`D`)."""
        found: dict[str, list[int]] = {}
        for line in self.ledger.read_text("ascii").splitlines():
            kind, moment, recipient = line.split()
            if kind == what:
                found.setdefault(recipient, []).append(int(moment))
        return found

    def states(self) -> dict[str, int]:
        with self.ground.reading() as session:
            return make.states(session, self.campaign_id)

    def status(self) -> str:
        from kairan.models.campaigns import Campaign

        with self.ground.reading() as session:
            return session.get_one(Campaign, self.campaign_id).status


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def stage(
    request: pytest.FixtureRequest, valkey_server: str, _migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """One for all tests of a module: each of them sends campaigns of its own. PostgreSQL runs in `make test-all` and `make faults`."""
    folder = tmp_path_factory.mktemp("stage")
    if request.param == "sqlite":
        shutil.copyfile(_migrated_sqlite, folder / "kairan.sqlite")
        url = f"sqlite:///{folder / 'kairan.sqlite'}"
    else:
        url = request.getfixturevalue("postgres_server").create(request.getfixturevalue("_migrated_postgres"))
    with on(url, valkey_server, folder) as built:
        yield built


# PostgreSQL runs in `make test-all`: a kill costs half a minute of waiting for sweeps, and the quick suite has a minute for faults.
@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., AbstractContextManager[Sending]]:
    """`with begin(20_000) as sending:` members are there and the campaign has been sent off; `each_us` is what the sink takes a mail."""
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.create(request.getfixturevalue("_migrated_postgres"))

    @contextmanager
    def start(count: int, each_us: int = 0) -> Iterator[Sending]:
        ledger = tmp_path / "ledger"
        with (
            sink.running(tmp_path, ledger, each_us=each_us) as target,
            running(
                tmp_path, database_url=url, smtp_url=f"smtp://127.0.0.1:{target.port}?connections=20", lanes=2 if url is None else 1
            ) as up,
        ):
            given = settings.load({name: value for name, value in up.environment.items() if name.startswith("KAIRAN_")}, tmp_path)
            ground = runtime.Runtime(given, secrets.load(given), database.Database(given.database_url))
            runtime.use(ground)
            try:
                with ground.writing() as session:
                    make.make_organisation(session)
                    list_id = sample.audience(session, ground.secrets, count, clock.now())
                    campaign_id = sample.campaign(session, list_id, 5_000, clock.now())
                sending.send_now(ground, campaign_id)
                yield Sending(up, ground, target, ledger, campaign_id, count)
            finally:
                runtime.use(None)
                ground.close()

    return start
