"""What a person decides on uncertain deliveries: for one, for those chosen, for all, by hand, asked again, and written down."""

import re

import pytest
from sqlalchemy import select, update

from kairan.models.audit import AuditRow
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, State
from mailer.reports import state_counts, tallies
from tests.support import ground as support


@pytest.fixture
def campaign_id(ground, app, monkeypatch) -> int:
    """Five deliveries, four of them uncertain."""
    monkeypatch.setattr(tallies, "KEPT_S", 0.0)
    with ground.writing() as session:
        into = support.make_list(session)
        support.make_members(session, 5, into)
        campaign_id = support.make_campaign(session, into).id
    support.start_sending(ground, campaign_id)
    with ground.writing() as session:
        session.execute(update(Delivery).values(state=State.ACCEPTED, due_at=None, ended_at=support.NOW))
        session.execute(update(Delivery).where(Delivery.number > 1).values(state=State.UNCERTAIN, reply="the connection broke"))
    return campaign_id


def _states(ground, campaign_id):
    with ground.reading() as session:
        return {name: count for name, count in state_counts.fresh(session, campaign_id).items() if count}


def _hidden(page: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(decision|number|all)" value="(\w+)"', page):
        found.setdefault(name, []).append(value)
    return found


def test_the_page_lists_who_it_is_and_what_was_seen_last(admin, campaign_id):
    page = admin.get(f"/campaigns/{campaign_id}/uncertain").text

    assert [f"m{number}@members.example" in page for number in range(1, 6)] == [False, True, True, True, True]
    assert "the connection broke" in page


@pytest.mark.parametrize(
    ("query", "asks", "left"),
    [
        ("decision=again&number=2", "Send one mail again?", {"accepted": 1, "queued": 1, "uncertain": 3}),
        ("decision=arrived&number=2&number=3", "Take 2 deliveries as arrived?", {"accepted": 3, "uncertain": 2}),
        ("decision=again&all=yes", "Send 4 mails again?", {"accepted": 1, "queued": 4}),
    ],
)
def test_a_decision_is_asked_again_carried_out_and_written_down(admin, ground, campaign_id, query, asks, left):
    page = admin.get(f"/campaigns/{campaign_id}/uncertain/decide?{query}").text
    assert asks in page
    assert _states(ground, campaign_id) == {"accepted": 1, "uncertain": 4}

    assert admin.post(f"/campaigns/{campaign_id}/uncertain", _hidden(page)).status_code == 303

    assert _states(ground, campaign_id) == left
    with ground.reading() as session:
        row = session.scalars(select(AuditRow).where(AuditRow.action.like("delivery.%"))).one()
        assert (row.actor[:8], row.object_id, row.detail) == ("account:", campaign_id, {"deliveries": 4 - left.get("uncertain", 0)})


def test_nothing_chosen_changes_nothing(admin, ground, campaign_id):
    assert admin.post(f"/campaigns/{campaign_id}/uncertain", {"decision": "again"}).status_code == 303
    assert admin.get(f"/campaigns/{campaign_id}/uncertain/decide?decision=again").status_code == 303
    assert admin.get(f"/campaigns/{campaign_id}/uncertain/decide?decision=maybe").status_code == 400
    assert _states(ground, campaign_id) == {"accepted": 1, "uncertain": 4}


def test_a_cancelled_campaign_sends_nothing_again(admin, ground, campaign_id):
    with ground.writing() as session:
        session.execute(update(Campaign).values(status=CampaignStatus.CANCELLED))

    answer = admin.post(f"/campaigns/{campaign_id}/uncertain", {"decision": "again", "all": "yes"}, follow_redirects=True)

    assert "nothing of it is sent again" in answer.text
    assert _states(ground, campaign_id) == {"accepted": 1, "uncertain": 4}


def test_only_who_may_decide_decides(signed_in, ground, campaign_id):
    marketer = signed_in("marketer")

    assert "Send all again" not in marketer.get(f"/campaigns/{campaign_id}/uncertain").text
    assert marketer.post(f"/campaigns/{campaign_id}/uncertain", {"decision": "again", "all": "yes"}).status_code == 403
    assert "m2@members.example" not in signed_in("analyst").get(f"/campaigns/{campaign_id}/uncertain").text


@pytest.mark.parametrize(
    ("reason", "says", "leads"),
    [
        ("login_refused", "Enter its password again", "/settings/providers"),
        ("policy", "often SPF, DKIM or DMARC", "/settings/domains"),
        ("sender_refused", "Choose a sender", "/campaigns/1/content"),
        ("disk", "Make room on that machine", None),
        (None, "What is waiting stays waiting", None),
    ],
)
def test_a_stopped_campaign_says_why_and_what_to_do(admin, ground, campaign_id, reason, says, leads):
    with ground.writing() as session:
        session.execute(update(Campaign).values(status=CampaignStatus.PAUSED, paused_reason=reason, paused_detail="535 no"))

    page = admin.get(f"/campaigns/{campaign_id}/progress").text

    assert says in page
    assert f'action="/campaigns/{campaign_id}/resume"' in page
    assert leads is None or f'<a class="btn " href="{leads}"' in page
