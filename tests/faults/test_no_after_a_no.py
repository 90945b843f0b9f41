"""No mail starts after a member's no was answered, and none against a choice, while a campaign is going out (F15, U1)."""

import http.client
import random
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from kairan.models.audience import Member
from kairan.models.campaigns import Campaign
from tests.faults import invariants
from tests.faults.conftest import Sending
from tests.support.installation import wait_for

BODIES = {
    "one_click": ("u", "List-Unsubscribe=One-Click"),
    "leave": ("p", "all=leave"),
    "text": ("p", "format=text"),
    "none": ("p", "recording=none"),
}


def _say_no(sending: Sending, members: list[tuple[int, str]]) -> dict[str, tuple[str, int]]:
    """email → (which no, monotonic nanoseconds when its 200 was read)."""
    answered: dict[str, tuple[str, int]] = {}
    faults: list[object] = []

    def speak(part: list[tuple[int, str]]) -> None:
        connection = http.client.HTTPConnection(urlsplit(sending.installation.base).netloc, timeout=30)
        for member_id, email in part:
            what = tuple(BODIES)[member_id % len(BODIES)]
            page, body = BODIES[what]
            token = sending.ground.secrets.tokens.act(member_id, sending.campaign_id)
            connection.request("POST", f"/{page}/{token}", body, {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                faults.append((what, answer.status))
            answered[email] = (what, time.monotonic_ns())
        connection.close()

    random.Random(3).shuffle(members)
    threads = [threading.Thread(target=speak, args=(members[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    return answered


def _check(sending: Sending, noes: int) -> None:
    wait_for("it goes out", lambda: sending.sink.accepted() > 50)
    with sending.ground.reading() as session:
        last = [(row.id, row.email) for row in session.execute(select(Member.id, Member.email).order_by(Member.id.desc()).limit(noes))]
    answered = _say_no(sending, last)
    wait_for("the campaign is sent", lambda: sending.status() == "sent", 200)

    began = sending.moments("M")
    gone = [email for email, (what, at) in answered.items() if what in ("one_click", "leave") and any(m > at for m in began.get(email, []))]
    assert gone == []
    with sending.ground.reading() as session:
        campaign = session.get_one(Campaign, sending.campaign_id)
    # Who said no before the snapshot came to them has no delivery and is counted with the reason.
    assert sum(sending.states().values()) == campaign.audience
    invariants.note(
        invariants.Tally(recipients=sending.count, after_a_no=len(gone)), "SQLite" if sending.ground.database.is_sqlite else "PostgreSQL"
    )
    assert campaign.audience + campaign.left_out.get("unsubscribed", 0) == sending.count


@pytest.mark.timeout(240)
def test_no_mail_starts_after_a_no_was_answered(begin: Callable[..., Any]) -> None:
    with begin(4_000) as sending:
        _check(sending, 60)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_five_hundred_noes_while_twenty_thousand_go_out(begin: Callable[..., Any]) -> None:
    with begin(20_000) as sending:
        _check(sending, 500)
