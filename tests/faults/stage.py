"""Where the faults of one process are played: a runtime, a server that drops and refuses, a worker that can be killed at any step.

A lane runs as RQ runs it, in a fork of a worker process; what a sweep and the scheduler do is called by hand. So a case takes about a
second, and hundreds of kills fit into minutes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert, null, select, update

from kairan import clock, secrets
from kairan.addresses import normal
from kairan.models.audience import Member, Subscription
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.consent import Permission
from kairan.models.deliveries import Chunk, Delivery, Provider, State
from kairan.models.suppression import SuppressionReason
from kairan.runtime import Runtime
from mailer.campaigns import jobs as campaigns
from mailer.delivery import chunks, jobs
from tests.faults import invariants
from tests.faults.invariants import Line, Tally
from tests.support import crashing_worker, fault_smtp
from tests.support import ground as make
from tests.support.crashing_worker import Horse, Worker
from tests.support.installation import wait_for
from unsubscribe import suppression
from unsubscribe.waiting import wait_for_gated

CHUNK = 20
CONNECTIONS = 4


@dataclass
class Stage:
    """One database with its worker and its server; campaign after campaign is sent on it."""

    ground: Runtime
    worker: Worker
    ledger: Path
    environment: dict[str, str]
    _lists: int = 0

    # ---- a campaign ----

    def campaign(self, words: Sequence[str] = (), *, count: int = 0, started: bool = True) -> int:
        """A campaign to `count` members and to one for each word, all with addresses of its own, ready to be sent: its id."""
        now = clock.now()
        self._lists += 1
        self.opened = self.ledger.stat().st_size
        names = [*words, *["fine"] * count]
        with self.ground.writing() as session:
            into = make.make_list(session, name=f"List {self._lists}", now=now)
            _add_members(session, into, [f"{word}.{at}@l{self._lists}.example" for at, word in enumerate(names, start=1)], now)
            campaign_id = make.make_campaign(session, into, now=now).id
        if started:
            make.start_sending(self.ground, campaign_id, now)
        return campaign_id

    def lane(self, campaign_id: int, crash: str = "", **more: Any) -> Horse:
        return self.worker.start("lane", campaign_id, crash, **more)

    def sessions(self, *words: str) -> None:
        """What the server does to every nth session from now on (`drop-banner:3`); nothing: all are greeted well."""
        path = fault_smtp.sessions_file(self.ledger)
        path.with_suffix(".new").write_text("\n".join(words), "ascii")
        path.with_suffix(".new").replace(path)

    def sweep(self) -> None:
        jobs.settle_dead(self.ground)

    def accepted(self) -> int:
        """How many mails the server has accepted since the last campaign was made."""
        return sum(line.kind == "D" for line in self.lines())

    def while_it_goes_out(self, campaign_id: int, after: int, fault: Callable[[], object], **more: Any) -> int:
        """A lane, and the fault as soon as `after` of its mails have been accepted. Returns how the lane ended."""
        before = self.accepted()
        horse = self.lane(campaign_id, **more)
        wait_for("mails go out", lambda: self.accepted() >= before + after or horse.poll() is not None, 30, every=0.005)
        fault()
        return horse.wait()

    def opt_out(self, member_ids: Sequence[int]) -> dict[str, int]:
        """As the one-click does it: written and committed, then the wait, then the answer. Address → when it was answered."""
        answered = {}
        for member_id in member_ids:
            with self.ground.writing() as session:
                suppression.suppress(session, member_id, SuppressionReason.UNSUBSCRIBED, now=clock.now())
                email = session.get_one(Member, member_id).email
            wait_for_gated(self.ground.database, member_id)
            answered[email] = time.monotonic_ns()
        return answered

    def members(self, campaign_id: int) -> list[int]:
        with self.ground.reading() as session:
            wanted = select(Delivery.member_id).where(Delivery.campaign_id == campaign_id).order_by(Delivery.number)
            return list(session.execute(wanted).scalars())

    def hurry(self, campaign_id: int) -> None:
        """What waits for a later time is due now: half a minute, a quarter of an hour, a broken provider's minute."""
        now = clock.now()
        with self.ground.writing() as session:
            waiting = Delivery.campaign_id == campaign_id, Delivery.state.in_([State.QUEUED, State.DEFERRED])
            moved = session.execute(update(Delivery).where(*waiting, Delivery.due_at > now).values(due_at=now)).rowcount
            if moved:
                session.execute(update(Chunk).where(Chunk.campaign_id == campaign_id, Chunk.due_at.is_not(None)).values(due_at=now))
            session.execute(update(Provider).values(broken_until=null(), breaks=0))

    def finish(self, campaign_id: int, *, rounds: int = 12) -> None:
        """Sweeps, rings and ticks as time does, until the campaign has ended. Nobody decides anything."""
        for _ in range(rounds):
            self.sweep()
            campaigns.tick(self.ground)
            if self.status(campaign_id) in (CampaignStatus.SENT, CampaignStatus.CANCELLED):
                return
            self.hurry(campaign_id)
            self.worker.run("lane", campaign_id)
        raise AssertionError(f"campaign {campaign_id} does not end: {self.states(campaign_id)}")

    def status(self, campaign_id: int) -> str:
        with self.ground.reading() as session:
            return session.get_one(Campaign, campaign_id).status

    def states(self, campaign_id: int) -> dict[str, int]:
        with self.ground.reading() as session:
            return make.states(session, campaign_id)

    def lines(self) -> list[Line]:
        """What the server wrote down since the last campaign was made."""
        return invariants.read(self.ledger, self.opened)

    def check(self, campaign_id: int, **given: Any) -> Tally:
        return invariants.check(self.ground, campaign_id, self.lines(), **given)


def _add_members(session: Any, into: Any, emails: list[str], now: Any) -> None:
    keys = secrets.from_root(make.SECRET)
    rows = [
        {
            "email": email, "address_key": keys.address_key(normal(email)), "first_name": f"Name{at}", "last_name": "山田",
            "locale": "ja" if at % 2 else "en", "attributes": {}, "format": "html", "recording": "identified", "frequency": "each",
            "awaiting_guardian": False, "created_at": now, "updated_at": now,
        }
        for at, email in enumerate(emails)
    ]  # fmt: skip
    session.execute(insert(Member), rows)
    ids = session.execute(select(Member.id).where(Member.email.in_(emails))).scalars().all()
    session.execute(insert(Subscription), [{"member_id": member, "list_id": into.id, "since": now} for member in ids])
    session.execute(insert(Permission), [{"member_id": member, "purpose_id": into.purpose_id, "given_at": now} for member in ids])


@contextmanager
def on(
    database_url: str,
    redis_url: str,
    folder: Path,
    *,
    server: fault_smtp.Process | None = None,
    smtp_url: str | None = None,
    worker: Mapping[str, str] | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[Stage]:
    """A stage on this database: its server and its worker are processes of their own. `worker`: settings that only the worker has, as when
    it reaches the database another way; `prefix`: a command before the worker's."""
    with ExitStack() as stack:
        target = server or stack.enter_context(fault_smtp.as_process(folder / "ledger"))
        stack.enter_context(small_chunks(CHUNK))
        given = make.make_settings(database_url, folder, redis=redis_url, smtp=smtp_url or target.url)
        journal_dir = (worker or {}).get("KAIRAN_JOURNAL_DIR")
        environment = {
            "KAIRAN_DATA_DIR": str(folder),
            "KAIRAN_DATABASE_URL": database_url,
            "KAIRAN_REDIS_URL": redis_url,
            "KAIRAN_SMTP_URL": given.smtp_url,
            "KAIRAN_SECRET_KEY": make.SECRET,
            **(worker or {}),
        }
        ground = stack.enter_context(make.running(replace(given, journal_dir=Path(journal_dir)) if journal_dir else given))
        with ground.writing() as session:
            make.make_organisation(session)
        worker_process = stack.enter_context(crashing_worker.running(environment, chunk=CHUNK, prefix=prefix))
        yield Stage(ground, worker_process, target.ledger_path, environment)


@contextmanager
def small_chunks(size: int) -> Iterator[None]:
    before = chunks.CHUNK
    crashing_worker.small_chunks(size)
    try:
        yield
    finally:
        crashing_worker.small_chunks(before)
