"""The same POST with the same key has one effect, however often and from wherever it comes."""

import threading
from datetime import timedelta

from sqlalchemy import func, select, update

from kairan import clock
from kairan.models.accounts import IdempotencyKey
from kairan.models.audience import List
from kairan.models.jobs import Job
from mailer.api.idempotency import KEPT

KEY = {"Idempotency-Key": "order-66"}
NEWS = {"name": "News", "purpose": "Our newsletter"}


def _lists(ground) -> int:
    with ground.reading() as session:
        return session.scalar(select(func.count()).select_from(List)) or 0


def test_a_repetition_gets_the_first_answer(admin, ground):
    first = admin("POST", "/lists", NEWS, headers=KEY)
    again = admin("POST", "/lists", NEWS, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    assert again.headers["Location"] == first.headers["Location"]
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert _lists(ground) == 1


def test_a_key_is_of_one_request_and_of_one_token(admin, program, ground):
    admin("POST", "/lists", NEWS, headers=KEY)

    assert admin("POST", "/lists", {**NEWS, "name": "Other"}, headers=KEY).status_code == 422
    assert program("admin")("POST", "/lists", {**NEWS, "name": "Other"}, headers=KEY).status_code == 201


def test_a_refused_call_leaves_its_key_free(admin, ground):
    assert admin("POST", "/members", {"email": "x", "lists": []}, headers=KEY).status_code == 422
    assert admin("POST", "/lists", NEWS, headers=KEY).status_code == 201
    assert admin("POST", "/lists", NEWS, headers={"Idempotency-Key": "other"}).status_code == 409
    with ground.reading() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["order-66"]


def test_a_key_is_forgotten_after_a_day(admin, ground):
    admin("POST", "/lists", NEWS, headers=KEY)
    with ground.writing() as session:
        session.execute(update(IdempotencyKey).values(created_at=clock.now() - KEPT - timedelta(seconds=1)))

    assert admin("POST", "/lists", {**NEWS, "name": "Other"}, headers=KEY).status_code == 201
    with ground.reading() as session:
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 1


def test_who_comes_while_the_first_is_under_way_is_told(admin, campaign, ground):
    path = f"/campaigns/{campaign}/cancel"
    assert admin("POST", path, headers=KEY).status_code == 200
    with ground.writing() as session:
        session.execute(update(IdempotencyKey).values(status=None, answer=None))

    assert admin("POST", path, headers=KEY).status_code == 409
    with ground.writing() as session:
        session.execute(update(IdempotencyKey).values(created_at=clock.now() - timedelta(hours=1)))
    assert admin("POST", path, headers=KEY).json["campaign_status"] == "cancelled"


def test_a_send_and_a_pause_are_repeated_without_a_second_effect(admin, campaign, ground):
    for act, key in (("send", "a"), ("cancel", "b")):
        answers = [admin("POST", f"/campaigns/{campaign}/{act}", headers={"Idempotency-Key": key}) for _ in range(2)]

        assert answers[0].status_code == answers[1].status_code < 300
        assert answers[0].json == answers[1].json


def test_an_import_is_taken_once(admin, news, ground):
    file = {"data": b"email\na@example.com\n", "content_type": "text/csv", "headers": KEY}
    answers = [admin("POST", f"/members/import?list={news}", **file) for _ in range(2)]

    assert answers[0].json == answers[1].json
    with ground.reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_two_at_the_same_time_have_one_effect(admin, ground):
    together, answers = threading.Barrier(2), []

    def post() -> None:
        together.wait()
        answers.append(admin("POST", "/lists", NEWS, headers=KEY))

    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert _lists(ground) == 1


def test_a_key_that_is_no_key_is_refused(admin):
    assert admin("POST", "/lists", NEWS, headers={"Idempotency-Key": "x" * 201}).status_code == 400
