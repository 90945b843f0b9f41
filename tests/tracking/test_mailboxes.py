"""Mailboxes of many kinds receive one campaign; the report tells people from machines as they are labelled, and docs/ shows how well.

`WRITE_DOCS=1 pytest tests/tracking/test_mailboxes.py` writes the tables of docs/tracking.md anew.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from werkzeug.serving import make_server
from werkzeug.test import Client

from kairan import clock
from kairan.models.campaigns import Link
from kairan.models.deliveries import Delivery, State
from kairan.models.events import EventKind
from kairan.runtime import Runtime
from mailer.app import create_public_app
from tests.support.ground import make_campaign, make_list, make_members, make_organisation, start_sending
from tests.support.mailboxes import MAILBOXES, Mailbox, send
from tests.tracking.conftest import Sent
from tracking import buffer, machines
from tracking.endpoint import Endpoint

DOCS = Path(__file__).parents[2] / "docs" / "tracking.md"
HTML = "<html><head><title>News</title></head><body>" + "".join(
    f'<p><a href="https://shop.example/{at}">Story {at}</a></p>' for at in range(1, 6)
)


@dataclass(frozen=True)
class Judged:
    mailbox: Mailbox
    truth: str
    verdict: str
    rule: str
    kind: int


@pytest.fixture
def received(ground: Runtime) -> Iterator[Sent]:
    """One delivery a mailbox, all accepted a day ago."""
    now = clock.now()
    with ground.writing() as session:
        make_organisation(session)
        topic = make_list(session)
        make_members(session, len(MAILBOXES), topic)
        campaign = make_campaign(session, topic, html=HTML)
    start_sending(ground, campaign.id, now)
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED, ended_at=now - timedelta(days=1), due_at=None))
        links = {str(place): number for place, number in enumerate(session.scalars(select(Link.number).order_by(Link.number)), start=1)}
    app = create_public_app(ground)
    endpoint = app.wsgi_app
    assert isinstance(endpoint, Endpoint)
    endpoint.buffer._flush_s = 3_600
    yield Sent(ground, campaign.id, endpoint, Client(app), links)
    endpoint.buffer.stop()


def fetch_all(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mailbox over real HTTP; only the web machine's clock is ours, so that a day passes in a second."""
    accepted = int((clock.now() - timedelta(days=1)).timestamp() * 1e9)
    with sent.ground.reading() as session:
        ended = session.scalars(select(Delivery.ended_at)).first()
        assert ended is not None
        accepted = int(ended.timestamp() * 1e9)
    server = make_server("127.0.0.1", 0, sent.endpoint, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for number, mailbox in enumerate(MAILBOXES, start=1):
            token = sent.token(number)

            def path(link: int, token: str = token) -> str:
                return f"/c/{token}/{sent.links[str(link)]}" if link else f"/o/{token}.gif"

            def at(after_s: float) -> None:
                monkeypatch.setattr(buffer, "time_ns", lambda: accepted + int(after_s * 1e9))

            send(server.server_port, mailbox, path, at)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    sent.drain()


def judged(sent: Sent) -> list[Judged]:
    """What was asked beside what was made of it, in the order of time."""
    found = []
    events = sent.events()
    for number, mailbox in enumerate(MAILBOXES, start=1):
        mine = sorted((event for event in events if event.number == number), key=lambda event: event.occurred_at)
        asks = sorted(mailbox.asks, key=lambda asked: asked.after_s)
        assert len(mine) == len(asks), mailbox.name
        found += [
            Judged(mailbox, asked.truth, "machine" if event.machine else "person", event.rule, event.kind)
            for asked, event in zip(asks, mine, strict=True)
        ]
    return found


def test_the_report_tells_people_from_machines_as_labelled(received: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_all(received, monkeypatch)
    verdicts = judged(received)

    wrong = [(each.mailbox.name, each.truth, each.verdict, each.rule) for each in verdicts if each.truth != each.verdict]
    assert [name for name, *_rest in wrong] == [mailbox.name for mailbox in MAILBOXES if mailbox.missed], wrong
    opens, clicks = received.figures()
    for kind, figures in ((EventKind.OPEN, opens), (EventKind.CLICK, clicks)):
        said = Counter(each.verdict for each in verdicts if each.kind == kind)
        readers = {each.mailbox.name for each in verdicts if each.kind == kind and each.verdict == "person"}
        assert figures == {"people": said["person"], "machines": said["machine"], "unique": len(readers)}
    assert received.dropped() == {}
    compare_docs("mailboxes", _confusion(verdicts) + _mailboxes(verdicts))


def test_the_document_names_every_rule() -> None:
    compare_docs("rules", _rules())


# ---- docs/tracking.md


def _confusion(verdicts: Sequence[Judged]) -> list[str]:
    counts = Counter((each.kind, each.truth, each.verdict) for each in verdicts)
    lines = ["| | judged a person | judged a machine |", "|---|---|---|"]
    for kind, word in ((EventKind.OPEN, "beacon"), (EventKind.CLICK, "link")):
        for truth in ("person", "machine"):
            lines.append(f"| {word} fetched by a {truth} | {counts[kind, truth, 'person']} | {counts[kind, truth, 'machine']} |")
    return [*lines, ""]


def _mailboxes(verdicts: Sequence[Judged]) -> list[str]:
    lines = ["| mailbox | pattern known how | fetches: is → judged (rule) |", "|---|---|---|"]
    for mailbox in MAILBOXES:
        told = Counter(f"{each.truth} → {each.verdict} ({each.rule})" for each in verdicts if each.mailbox is mailbox)
        row = "; ".join(f"{count} × {what}" if count > 1 else what for what, count in told.items())
        lines.append(f"| {mailbox.name} | {mailbox.basis} | {row}{f'. **Missed:** {mailbox.missed}' if mailbox.missed else ''} |")
    return lines


def _rules() -> list[str]:
    lines = ["| rule | says | about | basis | source |", "|---|---|---|---|---|"]
    for rule in machines.AGENT_RULES:
        who = "machine" if rule.machine else "person, via proxy"
        lines.append(f"| {rule.rule} | {who} | {rule.client} | {rule.basis} | {rule.source} |")
    return lines


def compare_docs(name: str, lines: Sequence[str]) -> None:
    """What stands between the two marks of this name."""
    first, last = f"<!-- {name}: written by tests/tracking/test_mailboxes.py -->", f"<!-- end of {name} -->"
    text = DOCS.read_text("utf-8")
    before, rest = text.split(first)
    written, after = rest.split(last)
    wanted = "\n" + "\n".join(lines).rstrip() + "\n"
    if os.environ.get("WRITE_DOCS"):
        DOCS.write_text(f"{before}{first}{wanted}{last}{after}", "utf-8")
        return
    assert written == wanted, "docs/tracking.md is behind: run this test with WRITE_DOCS=1"
