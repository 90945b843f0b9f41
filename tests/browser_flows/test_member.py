"""Flow 5: a mail on a phone → unsubscribed in one tap, back in one more; text and no beacons in two. Without script and cookie."""

import pytest
from sqlalchemy import select

from kairan import clock, installation
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.consent import Permission
from kairan.models.suppression import Suppression

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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


def test_a_member_chooses_text_and_no_beacons_without_script(address, ground, token, phone):
    phone.goto(f"{address}/p/{token}")

    phone.tap("label:has([name=format][value=text])")
    phone.tap("label:has([name=recording][value=none])")
    phone.tap("form:has([name=format]) .btn.pri")
    phone.wait_for_selector("[role=status]")

    assert (_member(ground).format, _member(ground).recording) == ("text", "none")
    assert phone.context.cookies() == []


def test_pages_for_members_keep_nobody_out_and_fit_a_phone(address, token, new_page, axe):
    page = new_page(locale="ja-JP", viewport=PHONE, color_scheme="dark")
    for path in (f"/u/{token}", f"/p/{token}", "/about/tracking", "/u/nothing"):
        page.goto(address + path)

        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
