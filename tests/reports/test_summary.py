"""A report's figures agree with each other, with the events behind them, and with the deliveries."""

from datetime import UTC, timedelta

from sqlalchemy import func, select, update

from kairan import clock
from kairan.models.deliveries import Delivery, State
from kairan.models.events import Engagement
from kairan.models.suppression import SuppressionReason
from mailer.reports import links, recipients, state_counts
from tests.tracking.conftest import APPLE_RELAY, Sent
from unsubscribe import suppression


def test_the_report_is_the_answer_of_the_api(sent: Sent) -> None:
    with sent.ground.writing() as session:
        session.execute(update(Delivery).where(Delivery.number == 4).values(state=State.REJECTED))
        suppression.suppress(session, 1, SuppressionReason.UNSUBSCRIBED, campaign_id=sent.campaign_id, now=clock.now())
        suppression.suppress(session, 4, SuppressionReason.BOUNCED, campaign_id=sent.campaign_id, now=clock.now())
    sent.open(1)
    sent.click(1)
    sent.click(1, link=sent.links["image"])
    sent.open(2, agent=APPLE_RELAY)
    sent.drain()

    report = sent.report()

    hour = report.pop("by_hour")
    assert report == {
        "audience": 4,
        "accepted": 3,
        "rejected": 1,
        "bounced": 1,
        "unsubscribed": 1,
        "complained": 0,
        "opens": {"people": 1, "machines": 1, "unique": 1},
        "clicks": {"people": 2, "machines": 0, "unique": 1},
    }
    assert [hour[0]["opens"], hour[0]["clicks"]] == [report["opens"], report["clicks"]]
    assert hour[0]["hour"] == clock.now().replace(minute=0, second=0, microsecond=0) and hour[0]["hour"].tzinfo == UTC


def test_the_hours_add_up_to_the_engagement(sent: Sent) -> None:
    for number in (1, 1, 2, 3):
        sent.open(number)
        sent.click(number)
    sent.drain()

    report = sent.report()

    with sent.ground.reading() as session:
        found = session.execute(
            select(
                func.sum(Engagement.opens),
                func.count().filter(Engagement.opens > 0),
                func.sum(Engagement.clicks),
                func.count().filter(Engagement.clicks > 0),
            )
        ).one()
    assert tuple(found) == (report["opens"]["people"], report["opens"]["unique"], report["clicks"]["people"], report["clicks"]["unique"])
    assert report["opens"]["unique"] == 3


def test_each_link_position_has_its_own_figures(sent: Sent) -> None:
    text, image = sent.links["text"], sent.links["image"]
    sent.click(1, link=image)
    sent.click(2, link=image)
    sent.click(2, link=image, method="HEAD")
    sent.drain()

    with sent.ground.reading() as session:
        found = {link.number: link for link in links.links(session, sent.campaign_id)}

    assert (found[image].kind, found[image].label, found[image].url) == ("image", "Autumn leaves", "https://shop.example/picture")
    assert (found[image].clicks, found[image].unique, found[image].machines) == (2, 2, 1)
    assert (found[text].kind, found[text].label, found[text].clicks, found[text].unique) == ("text", "Read the story", 0, 0)


def test_recipients_are_narrowed_by_what_they_did(sent: Sent) -> None:
    with sent.ground.writing() as session:
        session.execute(update(Delivery).where(Delivery.number == 4).values(state=State.UNCERTAIN))
    sent.open(1)
    sent.click(2)
    sent.open(3, agent=APPLE_RELAY)
    sent.drain()

    def numbers(chosen: str, after: int = 0) -> list[int]:
        with sent.ground.reading() as session:
            return [row.number for row in recipients.recipients(session, sent.campaign_id, chosen=chosen, after=after)]

    assert numbers("") == [1, 2, 3, 4]
    assert numbers("", after=2) == [3, 4]
    assert (numbers("opened"), numbers("clicked"), numbers("not_opened"), numbers("uncertain")) == ([1], [2], [2, 3], [4])
    with sent.ground.reading() as session:
        third = recipients.recipients(session, sent.campaign_id, after=2, limit=1)[0]
    assert (third.email, third.opens, third.machine_opens, third.state) == ("m3@members.example", 0, 1, "accepted")


def test_the_states_always_add_up_to_the_audience(sent: Sent) -> None:
    with sent.ground.reading() as session:
        counts = state_counts.fresh(session, sent.campaign_id)

    assert counts == {**{state.name.lower(): 0 for state in State}, "accepted": 4}


def test_events_of_different_hours_are_told_apart(sent: Sent) -> None:
    from tests.tracking.test_ingest import fetch, put

    put(sent, fetch(sent, 1), fetch(sent, 2, after_s=7_200), fetch(sent, 1, after_s=7_200))
    sent.drain()

    first, second = sent.report()["by_hour"]

    assert second["hour"] - first["hour"] == timedelta(hours=2)
    assert (first["opens"]["unique"], second["opens"]["unique"], second["opens"]["people"]) == (1, 1, 2)
