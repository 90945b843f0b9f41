"""Members who say no while a campaign goes out, over HTTP as their mail programs do, and whether a mail started after the answer."""

import http.client
import random
import threading
import time
from urllib.parse import urlsplit

from sqlalchemy import select

from kairan.models.audience import Member
from tests.faults.conftest import Sending

BODIES = {
    "one_click": ("u", "List-Unsubscribe=One-Click"),
    "leave": ("p", "all=leave"),
    "text": ("p", "format=text"),
    "none": ("p", "recording=none"),
}


def last_members(sending: Sending, count: int) -> list[tuple[int, str]]:
    """Those at the end of the queue: (id, address)."""
    with sending.ground.reading() as session:
        return [(row.id, row.email) for row in session.execute(select(Member.id, Member.email).order_by(Member.id.desc()).limit(count))]


def say_no(sending: Sending, members: list[tuple[int, str]]) -> dict[str, tuple[str, int]]:
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


def mailed_after(sending: Sending, answered: dict[str, tuple[str, int]]) -> list[str]:
    """Addresses whose opt-out was answered before a mail to them began."""
    began = sending.moments("M")
    return [email for email, (what, at) in answered.items() if what in ("one_click", "leave") and any(m > at for m in began.get(email, []))]
