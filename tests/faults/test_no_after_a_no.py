"""No mail starts after a member's no was answered, and none against a choice, while a campaign is going out (F15, U1)."""

from collections.abc import Callable
from typing import Any

import pytest

from kairan.models.campaigns import Campaign
from tests.faults import invariants, noes
from tests.faults.conftest import Sending
from tests.support.installation import wait_for


def _check(sending: Sending, count: int) -> None:
    wait_for("it goes out", lambda: sending.sink.accepted() > 50)
    answered = noes.say_no(sending, noes.last_members(sending, count))
    wait_for("the campaign is sent", lambda: sending.status() == "sent", 200)

    gone = noes.mailed_after(sending, answered)
    assert gone == []
    with sending.ground.reading() as session:
        campaign = session.get_one(Campaign, sending.campaign_id)
    # Who said no before the snapshot came to them has no delivery and is counted with the reason.
    assert sum(sending.states().values()) == campaign.audience
    invariants.note(
        invariants.Tally(recipients=sending.count, after_a_no=len(gone)), "SQLite" if sending.ground.database.is_sqlite else "PostgreSQL"
    )
    assert campaign.audience + campaign.left_out.get("unsubscribed", 0) == sending.count


@pytest.mark.slow  # the quick suite says no in test_kills, while a worker dies
@pytest.mark.timeout(240)
def test_no_mail_starts_after_a_no_was_answered(begin: Callable[..., Any]) -> None:
    with begin(4_000) as sending:
        _check(sending, 60)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_five_hundred_noes_while_twenty_thousand_go_out(begin: Callable[..., Any]) -> None:
    with begin(20_000) as sending:
        _check(sending, 500)
