"""Members change their minds while a campaign goes out: what each receives from the answer on obeys the choice, read from the wire."""

import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select

from kairan import clock
from kairan.addresses import normal
from kairan.models.audience import Member
from kairan.models.deliveries import Delivery, State
from mailer.app import create_public_app
from tests.faults.stage import Stage, on, small_chunks
from tests.support import ground as make
from tests.support import keeping_smtp
from tests.support.installation import wait_for
from tests.support.keeping_smtp import KeepingSmtp

CHOICES = {
    "text": ("p", {"format": "text"}),
    "plain": ("p", {"recording": "none"}),
    "counted": ("p", {"recording": "aggregate"}),
    "weekly": ("p", {"frequency": "weekly"}),
    "monthly": ("p", {"frequency": "monthly"}),
    "break": ("p", {"frequency": "pause30"}),
    "no topic": ("p", {"lists": ""}),
    "left": ("p", {"all": "leave"}),
    "one click": ("u", {"List-Unsubscribe": "One-Click"}),
}
NO_MAIL = {"weekly", "monthly", "break", "no topic", "left", "one click"}
CHUNK = 500
"""the stage's own 20 are for kills; here they would be three quarters of the time"""
_BEACON = re.compile(r"/o/([\w-]{36})\.gif")
_LINK = re.compile(r"/c/([\w-]{36})/\d+")


@dataclass
class Wire:
    """A stage whose server keeps every mail, and what members chose on it: address → (choice, when its answer was read)."""

    stage: Stage
    sink: KeepingSmtp
    answered: dict[str, tuple[str, float]] = field(default_factory=dict)

    def choose_while_it_goes_out(self, campaign_id: int, number: int, count: int) -> None:
        """`number` of the members, at moments spread over the sending, from four mail programs at once."""
        with self.stage.ground.reading() as session:
            wanted = (
                select(Member.id, Member.email).join(Delivery, Delivery.member_id == Member.id).where(Delivery.campaign_id == campaign_id)
            )
            members = [(row.id, row.email) for row in session.execute(wanted.order_by(Member.id))]
        chance = random.Random(187)  # with this one at least three of each choice come well before their mail, however slow the machine
        chosen = chance.sample(members, number)
        moments = sorted(chance.uniform(0, 0.8) * count for _ in chosen)
        work = [(member, at, tuple(CHOICES)[place % len(CHOICES)]) for place, (member, at) in enumerate(zip(chosen, moments, strict=True))]
        app = create_public_app(self.stage.ground)
        threads = [threading.Thread(target=self._speak, args=(app.test_client(), campaign_id, work[part::4])) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _speak(self, client: FlaskClient, campaign_id: int, work: list[tuple[tuple[int, str], float, str]]) -> None:
        for (member_id, email), moment, choice in work:
            wait_for("so many mails are out", partial(self._are_out, moment), 300, every=0.02)
            page, fields = CHOICES[choice]
            answer = client.post(f"/{page}/{self.stage.ground.secrets.tokens.act(member_id, campaign_id)}", data=fields)
            if answer.status_code == 200:
                self.answered[normal(email)] = (choice, time.monotonic())

    def _are_out(self, count: float) -> bool:
        return len(self.sink.received) >= count

    def faults(self) -> list[tuple[str, str]]:
        """(address, choice) of each mail that began after the answer to a choice and goes against it."""
        found = []
        for mail in self.sink.received:
            choice, at = self.answered.get(mail.recipient, ("", 0.0))
            if choice and mail.began > at and not self._obeys(choice, mail.raw):
                found.append((mail.recipient, choice))
        return found

    def _obeys(self, choice: str, raw: bytes) -> bool:
        parts = [part for part in message_from_bytes(raw, policy=policy.default).walk() if not part.is_multipart()]
        words = "\n".join(part.get_content() for part in parts)
        tokens = [*_BEACON.findall(words), *_LINK.findall(words)]
        has_html = any(part.get_content_type() == "text/html" for part in parts)
        if choice == "counted":
            numbers = {self.stage.ground.secrets.tokens.read_trace(token).number for token in tokens}
            return has_html and numbers == {0}
        return choice not in NO_MAIL and not tokens and has_html == (choice == "plain")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def begin(
    request: pytest.FixtureRequest, valkey_server: str, _migrated_sqlite: Path, tmp_path: Path
) -> Callable[[float], AbstractContextManager[Wire]]:
    """`with begin(0.03) as wire:` on each of twenty connections the server takes so many seconds over a mail, however fast the machine."""

    @contextmanager
    def start(each_s: float) -> Iterator[Wire]:
        if request.param == "sqlite":
            shutil.copyfile(_migrated_sqlite, tmp_path / "kairan.sqlite")
            url = f"sqlite:///{tmp_path / 'kairan.sqlite'}"
        else:
            url = request.getfixturevalue("postgres_server").create(request.getfixturevalue("_migrated_postgres"))
        with ExitStack() as stack:
            sink = stack.enter_context(keeping_smtp.running(each_s))
            stage = stack.enter_context(on(url, valkey_server, tmp_path, smtp_url=sink.url))
            yield Wire(stage, sink)

    return start


def _had_mail_yesterday(stage: Stage, campaign_id: int) -> None:
    """Another campaign reached them all: from now on a wish for one mail a week is a no to this one."""
    with stage.ground.writing() as session:
        other = make.make_campaign(session, make.make_list(session, "Yesterday")).id
        now = clock.now()
        rows = session.execute(select(Delivery.number, Delivery.member_id, Delivery.address_key).where(Delivery.campaign_id == campaign_id))
        common = {"campaign_id": other, "state": State.ACCEPTED, "fence": 1, "tries": 0, "ended_at": now - timedelta(days=1)}
        session.execute(insert(Delivery), [{**common, **row._asdict()} for row in rows])


def _check(wire: Wire, count: int, number: int) -> None:
    with small_chunks(CHUNK):
        campaign_id = wire.stage.campaign(count=count)
    _had_mail_yesterday(wire.stage, campaign_id)

    speaking = threading.Thread(target=wire.choose_while_it_goes_out, args=(campaign_id, number, count))
    speaking.start()
    while wire.stage.states(campaign_id).get("queued"):  # a lane works for half a minute; the next one goes on
        wire.stage.lane(campaign_id).wait()
    speaking.join()
    wire.stage.finish(campaign_id)

    assert wire.faults() == []
    assert len(wire.answered) == number
    received = {mail.recipient: mail for mail in wire.sink.received}
    assert len(received) == len(wire.sink.received)
    # The test would say nothing if all had spoken before the first mail or after the last.
    before = [choice for email, (choice, at) in wire.answered.items() if email in received and received[email].began > at]
    unmailed = [choice for email, (choice, _at) in wire.answered.items() if email not in received]
    assert set(before) == {"text", "plain", "counted"}
    assert set(unmailed) == NO_MAIL
    assert len(before) + len(unmailed) < number
    assert wire.stage.states(campaign_id) == {"accepted": len(received), "suppressed": len(unmailed)}
    assert sum(wire.stage.states(campaign_id).values()) == count


def test_sixty_change_their_minds_while_fifteen_hundred_mails_go_out(begin: Callable[[float], AbstractContextManager[Wire]]) -> None:
    with begin(0.03) as wire:
        _check(wire, 1_500, 60)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_five_hundred_change_their_minds_while_twenty_thousand_mails_go_out(begin: Callable[[float], AbstractContextManager[Wire]]) -> None:
    with begin(0.005) as wire:
        _check(wire, 20_000, 500)
