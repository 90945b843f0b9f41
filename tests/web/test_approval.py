"""A large campaign waits for a second person's yes to what it says; and seed addresses get each campaign once, counted nowhere."""

import email
import email.policy
from dataclasses import replace

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.campaigns import Campaign
from kairan.models.deliveries import Delivery
from kairan.models.outbox import OutboxMail
from mailer.campaigns import jobs, lifecycle, preflight, revisions
from mailer.campaigns.recurrence import Rule
from mailer.campaigns.schedule import Plan
from tests.support import ground as make

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SETTINGS = {
    "name": "Aoba Club", "address": "1-2-3 Aoba", "contact": "hello@example.org",
    "from_name": "Aoba Club", "from_email": "news@example.org",
    "language": "en", "time_zone": "Asia/Tokyo", "approval_above": "2", "seeds": "",
}  # fmt: skip


@pytest.fixture
def campaign(ground, admin) -> str:
    """To three members, written by the administrator."""
    ground.settings = replace(ground.settings, smtp_url="smtp://127.0.0.1:2525")
    with ground.writing() as session:
        into = make.make_list(session)
        make.make_members(session, 3, into)
        campaign = make.make_campaign(session, into)
        revisions.save(session, campaign.id, 1, {"subject": "Ours"}, now=clock.now(), by=1)
        return f"/campaigns/{campaign.id}"


def _errors(ground) -> list[str]:
    with ground.reading() as session:
        return [found.rule for found in preflight.check(session, 1, ground.settings, now=clock.now()) if found.level == "error"]


def _mails(ground, kind: str) -> list[OutboxMail]:
    with ground.reading() as session:
        return list(session.scalars(select(OutboxMail).where(OutboxMail.kind == kind)))


def _followed(browser, answer) -> str:
    return browser.get(answer.location).get_data(as_text=True)


def test_without_a_limit_nobody_has_to_approve(admin, campaign, ground):
    assert "approval" not in _errors(ground)
    assert "A second person" not in admin.get(f"{campaign}/review").get_data(as_text=True)


def test_above_the_limit_a_second_person_says_yes_to_what_it_says_then(admin, signed_in, campaign, ground):
    admin.post("/settings", SETTINGS)
    assert _errors(ground) == ["approval"]
    assert admin.post(f"{campaign}/send", {"when": "now", "seen": "yes"}).location == f"{campaign}/review"

    assert "asked by mail" in _followed(admin, admin.post(f"{campaign}/approval/ask"))
    assert [mail.recipient for mail in _mails(ground, "approval")] == ["marketer@example.org"]
    assert "/campaigns/1/review#approval" in _mails(ground, "approval")[0].message.decode()
    assert "another person approves" in _followed(admin, admin.post(f"{campaign}/approval/give"))
    assert _errors(ground) == ["approval"]

    marketer = signed_in("marketer")
    assert "Approve" in marketer.get(f"{campaign}/review").get_data(as_text=True)
    marketer.post(f"{campaign}/approval/give")
    assert _errors(ground) == []

    with ground.writing() as session:
        revisions.save(session, 1, 2, {"subject": "Changed after"}, now=clock.now(), by=1)
    assert _errors(ground) == ["approval"]
    assert "changed since" in admin.get(f"{campaign}/review").get_data(as_text=True)


def test_another_list_takes_the_yes_back_too(admin, signed_in, campaign, ground):
    admin.post("/settings", SETTINGS)
    signed_in("marketer").post(f"{campaign}/approval/give")
    assert _errors(ground) == []

    with ground.writing() as session:
        into = make.make_list(session, name="More")
        found = session.get_one(Campaign, 1)
        lifecycle.set_reach(session, found, replace(lifecycle.reach_of(session, found), lists=(1, into.id)), now=clock.now())

    assert _errors(ground) == ["approval"]


def test_an_occurrence_of_an_approved_pattern_goes_out(admin, signed_in, campaign, ground):
    from mailer.campaigns import series

    admin.post("/settings", SETTINGS)
    signed_in("marketer").post(f"{campaign}/approval/give")
    with ground.writing() as session:
        plan = Plan("Asia/Tokyo", rule=Rule("day", 9 * 60, clock.now().date()))
        row = series.begin(session, 1, plan, now=clock.now())
        made = lifecycle.copy(session, 1, "Autumn, the first", now=clock.now())
        assert "approval" in [each.rule for each in preflight.check(session, made.id, ground.settings, now=clock.now())]
        made.series_id, made.occurrence = row.id, "2026-11-26T09:00"
        found = preflight.check(session, made.id, ground.settings, now=clock.now())

    assert "approval" not in [each.rule for each in found]


def test_an_analyst_neither_asks_nor_approves(signed_in, campaign):
    analyst = signed_in("analyst")

    assert analyst.post(f"{campaign}/approval/ask").status_code == analyst.post(f"{campaign}/approval/give").status_code == 403


def test_each_seed_address_gets_one_copy_that_counts_nowhere(admin, campaign, ground):
    admin.post("/settings", {**SETTINGS, "approval_above": "", "seeds": "one@gmail.example\n\n two@yahoo.example \none@gmail.example"})
    with ground.writing() as session:
        lifecycle.schedule(session, 1, clock.now(), now=clock.now())

    jobs.start_due()
    jobs.start_due()

    copies = _mails(ground, "seed")
    assert sorted(mail.recipient for mail in copies) == ["one@gmail.example", "two@yahoo.example"]
    read = email.message_from_bytes(copies[0].message, policy=email.policy.default)
    assert read["Subject"] == "Ours"
    body = read.get_body(("html",))
    assert body is not None and "/o/" not in body.get_content() and "/c/" not in body.get_content()
    with ground.reading() as session:
        assert len(session.scalars(select(Delivery.number)).all()) == 3


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"seeds": "nobody"}, "This is not a mail address"),
        ({"seeds": "\n".join(f"a{n}@b.example" for n in range(51))}, "At most 50 seed addresses"),
        ({"approval_above": "-1"}, "Enter a whole number"),
        ({"approval_above": "²"}, "Enter a whole number"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_of_the_form_is_kept(admin, ground, typed, says):
    answer = admin.post("/settings", {**SETTINGS, "name": "Another", **typed})

    assert answer.status_code == 422
    assert says in answer.get_data(as_text=True)
    assert 'value="Aoba Club"' in admin.get("/settings").get_data(as_text=True)
