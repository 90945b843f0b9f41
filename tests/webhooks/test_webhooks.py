"""Programs of others are told what happens: signed, under one id however often it is tried, and never longer than a member wants it."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from kairan import clock
from kairan.models.alerts import Alert
from kairan.models.audience import Member
from kairan.models.audit import Provision
from kairan.models.campaigns import Campaign
from kairan.models.suppression import SuppressionReason
from kairan.models.webhooks import FeedEntry, Webhook, WebhookPost
from kairan.runtime import Runtime
from kairan.tokens import unsubscribe_path
from mailer.audience import erasure
from mailer.webhooks import jobs, posts, settings
from mailer.webhooks.settings import Refused, Wanted
from tests.tracking.conftest import Sent
from tests.webhooks.conftest import Receiver, add, told
from unsubscribe import suppression


def due_now(ground: Runtime) -> None:
    with ground.writing() as session:
        session.execute(update(WebhookPost).where(WebhookPost.state == "queued").values(due_at=clock.now(), lease_until=None))


def states(ground: Runtime) -> dict[str, int]:
    with ground.reading() as session:
        return dict(session.execute(select(WebhookPost.state, func.count()).group_by(WebhookPost.state)).all())  # type: ignore[arg-type]


def test_nothing_is_written_while_nobody_listens(sent: Sent) -> None:
    sent.open()
    sent.drain()
    with sent.ground.writing() as session:
        suppression.suppress(session, 1, SuppressionReason.COMPLAINT, now=clock.now(), campaign_id=sent.campaign_id)
    with sent.ground.reading() as session:
        assert session.scalar(select(func.count()).select_from(FeedEntry)) == 0


def test_opens_and_clicks_are_told_with_what_was_clicked(sent: Sent, receiver: Receiver) -> None:
    hook = add(sent.ground, receiver.url, "open", "click")
    sent.open(1)
    sent.click(2)
    sent.open(3, method="HEAD")
    sent.drain()
    told(sent.ground)

    assert sorted(receiver.types()) == ["click", "open", "open"] and all(post.is_signed_with(hook.secret) for post in receiver.posts)
    by_member = {post.json["data"]["member_id"]: post.json["data"] for post in receiver.posts}
    assert by_member["1"]["client"] == "Thunderbird" and not by_member["1"]["machine"] and "email" not in by_member["1"]
    assert by_member["3"]["machine"] and by_member["3"]["rule"] == "head/1"
    assert by_member["2"]["link"]["kind"] == "text" and by_member["2"]["link"]["url"].startswith("https://")
    assert by_member["2"]["campaign"]["id"] == str(sent.campaign_id)


def test_a_no_a_bounce_and_a_complaint_are_told(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "unsubscribe", "bounce", "complaint")
    one_click = unsubscribe_path(sent.ground.secrets.tokens.act(1, sent.campaign_id))
    with sent.ground.writing() as session:
        for member_id, reason in ((2, SuppressionReason.BOUNCED), (3, SuppressionReason.COMPLAINT), (4, SuppressionReason.STAFF)):
            suppression.suppress(session, member_id, reason, now=clock.now(), campaign_id=sent.campaign_id)
    assert sent.client.post(one_click, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    told(sent.ground)

    assert sorted(receiver.types()) == ["bounce", "complaint", "unsubscribe"]
    leaver = next(post.json["data"] for post in receiver.posts if post.json["type"] == "unsubscribe")
    assert (leaver["member_id"], leaver["source"], leaver["campaign"]["id"]) == ("1", "one_click", str(sent.campaign_id))


def test_each_state_of_a_campaign_is_told_from_now_on(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "campaign")
    told(sent.ground)
    assert receiver.posts == []  # what it was before the webhook is no news

    for status in ("paused", "sending", "sent"):
        with sent.ground.writing() as session:
            session.execute(update(Campaign).values(status=status))
        told(sent.ground)
    assert receiver.types() == ["campaign.paused", "campaign.sending", "campaign.sent"]
    assert receiver.posts[0].json["data"]["campaign"]["id"] == str(sent.campaign_id)


def test_a_message_keeps_its_id_over_all_tries(sent: Sent, receiver: Receiver) -> None:
    hook = add(sent.ground, receiver.url, "open")
    receiver.answers = [500, 302, 204]
    sent.open()
    sent.drain()
    for _ in range(3):
        told(sent.ground)
        due_now(sent.ground)
    told(sent.ground)

    assert len(receiver.posts) == 3 and len({post.id for post in receiver.posts}) == 1
    assert all(post.is_signed_with(hook.secret) for post in receiver.posts) and states(sent.ground) == {"sent": 1}


def test_a_worker_killed_between_post_and_record_sends_it_again_under_the_same_id(sent: Sent, receiver: Receiver, monkeypatch: Any) -> None:
    add(sent.ground, receiver.url, "open")
    sent.open()
    sent.drain()

    class Killed(BaseException):
        pass

    def die(*_arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "settle", die)
        with pytest.raises(Killed):
            told(sent.ground)
    due_now(sent.ground)
    told(sent.ground)
    assert len(receiver.posts) == 2 and len({post.id for post in receiver.posts}) == 1


def test_what_was_made_into_posts_is_made_once_though_the_maker_dies(sent: Sent, receiver: Receiver, monkeypatch: Any) -> None:
    add(sent.ground, receiver.url, "open")
    sent.open()
    sent.drain()
    with pytest.raises(RuntimeError), sent.ground.writing() as session:
        posts.make(session, clock.now())
        raise RuntimeError("killed before the commit")
    told(sent.ground)
    told(sent.ground)
    assert len(receiver.posts) == 1


def test_a_receiver_that_wants_no_more_is_switched_off_and_people_are_told(sent: Sent, receiver: Receiver) -> None:
    hook = add(sent.ground, receiver.url, "open")
    receiver.answers = [410]
    sent.open()
    sent.drain()
    told(sent.ground)

    with sent.ground.reading() as session:
        row = session.get_one(Webhook, hook.id)
        assert (row.enabled, row.off_reason) == (False, "gone")
        assert session.scalars(select(Alert.kind)).all() == ["webhook.off"]


def test_one_that_takes_nothing_for_three_days_is_switched_off(sent: Sent, receiver: Receiver) -> None:
    hook = add(sent.ground, receiver.url, "open")
    receiver.answers = [500, 500]
    sent.open()
    sent.drain()
    told(sent.ground)
    with sent.ground.writing() as session:
        assert session.get_one(Webhook, hook.id).enabled
        session.execute(update(Webhook).values(failing_since=clock.now() - timedelta(days=3, minutes=1)))
    due_now(sent.ground)
    told(sent.ground)
    with sent.ground.reading() as session:
        assert session.get_one(Webhook, hook.id).off_reason == "failing"


def test_a_slow_receiver_holds_up_neither_the_others_nor_the_queue(sent: Sent, receiver: Receiver, monkeypatch: Any) -> None:
    """Nobody listens at the first address; the second one gets its messages within the same short job."""
    monkeypatch.setattr(jobs, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(jobs, "FOR_S", 1.0)
    dead = add(sent.ground, "http://127.0.0.1:9/hook", "open")
    add(sent.ground, receiver.url, "open")
    with sent.ground.writing() as session:
        for number in range(30):
            session.add(FeedEntry(kind="open", at=clock.now(), campaign_id=sent.campaign_id, member_id=1, detail=_opened(number)))
    told(sent.ground)

    assert len(receiver.posts) == 30
    with sent.ground.reading() as session:
        tries = session.scalars(select(WebhookPost.tries).where(WebhookPost.webhook_id == dead.id)).all()
    assert len(tries) == 30 and sum(tries) <= jobs.THREADS


def _opened(number: int) -> dict[str, Any]:
    return {"delivery": number, "link": 0, "machine": 0, "rule": "person/1", "client": None, "device": None}


def test_who_was_erased_or_suspended_is_in_no_message(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "open", addresses=True, purpose="CRM", recipient="Sales")
    receiver.answers = [500]
    sent.open(1)
    sent.drain()
    told(sent.ground)
    assert receiver.posts[0].json["data"]["email"].startswith("m")
    for number in (1, 2, 3):
        sent.open(number)
    sent.drain()
    with sent.ground.writing() as session:
        erasure.erase(session, 1, now=clock.now())
        session.execute(update(Member).where(Member.id == 2).values(suspended_at=clock.now()))
    due_now(sent.ground)
    told(sent.ground)

    assert [post.json["data"]["member_id"] for post in receiver.posts[1:]] == ["3"]
    with sent.ground.reading() as session:
        assert session.scalar(select(func.count()).where(WebhookPost.member_id == 1)) == 0


def test_addresses_need_a_purpose_and_stand_in_the_register(sent: Sent, receiver: Receiver) -> None:
    with pytest.raises(Refused, match="purpose"):
        add(sent.ground, receiver.url, "open", addresses=True)
    add(sent.ground, receiver.url, "open", addresses=True, purpose="CRM", recipient="Sales")
    with sent.ground.reading() as session:
        row = session.scalars(select(Provision)).one()
    assert (row.what, row.purpose, row.recipient) == ("webhook", "CRM", "Sales")


def test_what_lies_inside_is_not_posted_to(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "open")
    object.__setattr__(sent.ground.settings, "private_targets", "")
    sent.open()
    sent.drain()
    told(sent.ground)
    assert receiver.posts == [] and states(sent.ground) == {"queued": 1}


def test_a_message_may_be_sent_again_by_hand(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "open")
    sent.open()
    sent.drain()
    told(sent.ground)
    with sent.ground.writing() as session:
        posts.again(session, session.scalars(select(WebhookPost)).one(), clock.now())
    told(sent.ground)
    assert [post.id for post in receiver.posts] == [receiver.posts[0].id] * 2


def test_old_messages_go(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "open")
    sent.open()
    sent.drain()
    told(sent.ground)
    assert jobs.tidy(sent.ground) == 0
    with sent.ground.writing() as session:
        session.execute(update(WebhookPost).values(ended_at=clock.now() - timedelta(days=31)))
    assert jobs.tidy(sent.ground) == 1


def test_there_is_a_limit_and_a_paused_webhook_is_told_nothing_later(sent: Sent, receiver: Receiver, monkeypatch: Any) -> None:
    hook = add(sent.ground, receiver.url, "campaign")
    with sent.ground.writing() as session:
        settings.switch(session, session.get_one(Webhook, hook.id), on=False, now=clock.now())
        session.execute(update(Campaign).values(status="paused"))
        settings.switch(session, session.get_one(Webhook, hook.id), on=True, now=clock.now())
    told(sent.ground)
    assert receiver.posts == []
    monkeypatch.setattr(settings, "WEBHOOKS_MAX", 1)
    with sent.ground.writing() as session, pytest.raises(Refused, match="count"):
        wanted = replace(Wanted(receiver.url, ("open",)))
        settings.make(session, sent.ground.secrets, wanted, actor="x", now=clock.now())


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_twenty_thousand_events_arrive_once_each(sent: Sent, receiver: Receiver) -> None:
    add(sent.ground, receiver.url, "open")
    with sent.ground.writing() as session:
        session.add_all(
            FeedEntry(kind="open", at=clock.now(), campaign_id=sent.campaign_id, member_id=1, detail=_opened(number))
            for number in range(20_000)
        )
    until = time.monotonic() + 300
    while states(sent.ground).get("sent", 0) < 20_000:
        assert time.monotonic() < until
        told(sent.ground)
    assert len({post.json["data"]["delivery"] for post in receiver.posts}) == 20_000
    assert len({post.id for post in receiver.posts}) == len(receiver.posts) == 20_000
