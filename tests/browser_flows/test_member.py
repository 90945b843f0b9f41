"""Flows 5 and 6 on a phone, without script: a mail → unsubscribed in one tap, back or fewer in one more; a member's timeline in two."""

import os
import re
from email import message_from_bytes, policy

import pytest
from sqlalchemy import select, update

from kairan import clock, installation
from kairan.models.accounts import Role
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.consent import LeaveReason, Permission
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Event, EventKind
from kairan.models.outbox import OutboxMail
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.accounts import passwords, people
from mailer.app import create_app
from tests.support.ground import make_campaign
from unsubscribe import moving, suppression

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS")
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def token(ground) -> str:
    """Of a Japanese member of one list; it stands in each of their mails."""
    now = clock.now()
    with ground.writing() as session:
        organisation = {"name": "青葉クラブ", "address": "仙台市青葉区1-2-3", "contact": "hello@example.org"}
        installation.put(session, "organisation", organisation, now=now)
        purpose = Purpose(name="お知らせ", created_at=now)
        session.add(purpose)
        session.flush()
        topic = List(name="クラブ便り", purpose_id=purpose.id, created_at=now, public=True)
        key = ground.secrets.address_key("hanako@example.com")
        member = Member(email="hanako@example.com", address_key=key, locale="ja", created_at=now, updated_at=now)
        session.add_all([topic, member])
        session.flush()
        session.add(Subscription(member_id=member.id, list_id=topic.id, since=now))
        session.add(Permission(member_id=member.id, purpose_id=purpose.id, given_at=now))
        return str(ground.secrets.tokens.act(member.id, 0))


@pytest.fixture
def phone(new_page):
    return new_page(locale="ja-JP", viewport=PHONE, java_script_enabled=False, is_mobile=True, has_touch=True)


def _suppressed(ground) -> bool:
    with ground.reading() as session:
        return session.execute(select(Suppression)).first() is not None


def _member(ground) -> Member:
    with ground.reading() as session:
        return session.execute(select(Member)).scalar_one()


def test_a_member_leaves_with_one_tap_and_comes_back_with_one(address, ground, token, phone):
    phone.goto(f"{address}/u/{token}")
    assert phone.evaluate("document.documentElement.lang") == "ja"
    assert not _suppressed(ground)

    phone.tap("form .btn.pri")
    phone.wait_for_selector("h1:has-text('配信を停止しました')")
    assert _suppressed(ground)

    phone.tap("button[name=undo]")
    phone.wait_for_selector("[role=status]")
    assert not _suppressed(ground)
    assert phone.context.cookies() == []


def test_rather_fewer_mails_is_two_taps_from_the_mail(address, ground, token, phone):
    phone.goto(f"{address}/u/{token}")

    phone.tap("form .btn.pri")
    phone.tap("button[name=fewer]")
    phone.wait_for_selector("h1:has-text('月 1 通まで')")

    assert not _suppressed(ground)
    assert _member(ground).frequency == "monthly"


def test_a_member_tells_why_after_leaving_and_a_refusal_keeps_what_was_typed(address, ground, token, phone):
    phone.goto(f"{address}/u/{token}")
    phone.tap("form .btn.pri")

    phone.tap("form:has([name=why]) .btn")
    phone.wait_for_selector("[role=alert]")
    phone.fill("#words", "毎日は多すぎます")
    phone.tap("label:has([value=too_many])")
    phone.tap("form:has([name=why]) .btn")
    phone.wait_for_selector("[role=status]:has-text('理由を承りました')")

    with ground.reading() as session:
        row = session.execute(select(LeaveReason)).scalar_one()
    assert (row.reason, row.words) == ("too_many", "毎日は多すぎます")


def test_a_member_moves_to_another_address_with_a_tap_in_each_mailbox(address, ground, token, phone):
    with ground.writing() as session:
        installation.put(session, "sender", {"name": "Aoba", "email": "news@example.org"}, now=clock.now())
    phone.goto(f"{address}/p/{token}")

    phone.fill("#address", "hanako@new.example")
    phone.tap("form:has(#address) .btn")
    phone.wait_for_selector("[role=status]:has-text('確認のリンクを送りました')")
    with ground.reading() as session:
        mail = session.execute(select(OutboxMail)).scalar_one()
    link = re.search(r"/confirm/[\w-]{36}", message_from_bytes(mail.message, policy=policy.default).get_content())
    phone.goto(address + link[0])
    phone.tap("form .btn.pri")
    phone.wait_for_selector("[role=status]:has-text('変更しました')")

    assert _member(ground).email == "hanako@new.example"
    assert phone.context.cookies() == []


def test_what_a_member_got_is_two_steps_from_the_search_on_a_phone(ground, token, new_page, serve):
    """Flow 6, as staff do it: search → timeline."""
    now = clock.now()
    with ground.writing() as session:
        account = people.add(session, "admin@example.org", Role.ADMIN, now)
        account.password_hash = passwords.hashed("correct horse battery")
        session.execute(update(Member).values(last_name="佐藤", first_name="花子"))
        campaign = make_campaign(session, session.execute(select(List)).scalar_one(), now=now)
        member = session.execute(select(Member)).scalar_one()
        session.add(
            Delivery(
                campaign_id=campaign.id, number=1, member_id=member.id, address_key=member.address_key, state=State.ACCEPTED, ended_at=now
            )
        )
        event = {"campaign_id": campaign.id, "number": 1, "member_id": member.id, "occurred_at": now, "rule": ""}
        for kind, link in ((EventKind.OPEN, 0), (EventKind.CLICK, 1)):
            session.add(Event(entry=int(kind), slot=0, kind=kind, link=link, machine=False, **event))
    address = serve(create_app(ground))
    phone = new_page(locale="en-GB", viewport=PHONE, java_script_enabled=False, is_mobile=True, has_touch=True)
    phone.goto(f"{address}/login")
    phone.fill("#email", "admin@example.org")
    phone.fill("#password", "correct horse battery")
    phone.tap("main .btn.pri")
    phone.wait_for_url(f"{address}/")

    phone.goto(f"{address}/audience/members?q=佐藤")
    phone.tap("tbody th a")

    timeline = phone.inner_text(".timeline")
    assert "Autumn" in timeline
    assert "Opened or previewed" in timeline
    assert "Clicked" in timeline


def test_a_member_chooses_text_and_no_beacons_without_script(address, ground, token, phone):
    phone.goto(f"{address}/p/{token}")

    phone.tap("label:has([name=format][value=text])")
    phone.tap("label:has([name=recording][value=none])")
    phone.tap("form:has([name=format]) .btn.pri")
    phone.wait_for_selector("[role=status]")

    assert (_member(ground).format, _member(ground).recording) == ("text", "none")
    assert phone.context.cookies() == []


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(390, "dark", "ja"), (390, "light", "en"), (1440, "light", "ja"), (1440, "dark", "en")]
)
def test_pages_for_members_keep_nobody_out_and_fit_the_screen(address, ground, token, new_page, axe, width, scheme, language):
    page = new_page(locale="ja-JP", viewport={"width": width, "height": 844}, color_scheme=scheme)
    with ground.writing() as session:
        installation.put(session, "sender", {"name": "Aoba", "email": "news@example.org"}, now=clock.now())
        session.execute(update(Member).values(locale=language))
        move = moving.ask(session, ground.secrets, 1, "hanako@new.example", now=clock.now())
        assert move is not None
    proof = ground.secrets.tokens.proof(1, move.id)

    def look(name: str, path: str = "") -> None:
        if path:
            page.goto(address + path)
        assert axe(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}-{language}.png", full_page=True)

    look("about", "/about/tracking")
    look("nothing", "/u/nothing")
    look("confirm", f"/confirm/{proof}")
    look("preferences", f"/p/{token}")
    page.fill("#address", "x@y")
    page.click("form:has(#address) .btn")
    look("no-address")
    look("unsubscribe", f"/u/{token}")
    page.click("form .btn.pri")
    look("unsubscribed")
    page.click("form:has([name=why]) .btn")
    look("why-refused")
    page.click("button[name=fewer]")
    look("fewer")
    page.goto(f"{address}/confirm/{proof}")
    page.click("form .btn.pri")
    look("confirmed")
    with ground.writing() as session:
        suppression.suppress(session, 1, SuppressionReason.COMPLAINT, now=clock.now())
    look("complained", f"/p/{token}")
