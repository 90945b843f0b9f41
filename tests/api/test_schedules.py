"""By API a campaign is sent at a wall time in a zone, at each member's, within hours, and again and again."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audit import AuditRow
from kairan.models.campaigns import Campaign

NEXT = clock.now().year + 1
TOKYO = {"at": f"{NEXT}-07-01T09:00", "zone": "Asia/Tokyo"}


def test_a_wall_time_in_a_zone_with_hours_and_pace(admin, campaign):
    asked = {**TOKYO, "window": {"from": "08:00", "until": "20:00", "days": ["mon", "tue"]}, "per_hour": 600}
    answer = admin("POST", f"/campaigns/{campaign}/send", asked)

    assert answer.status_code == 202
    shown = admin("GET", f"/campaigns/{campaign}").json
    assert {name: shown[name] for name in ("status", "due_at", "due_wall", "due_zone", "local_time", "per_hour", "window")} == {
        "status": "scheduled",
        "due_at": f"{NEXT}-07-01T00:00:00Z",
        "due_wall": f"{NEXT}-07-01T09:00",
        "due_zone": "Asia/Tokyo",
        "local_time": False,
        "per_hour": 600,
        "window": {"from": "08:00", "until": "20:00", "days": ["mon", "tue"], "local": False},
    }
    assert (shown["waiting"], shown["recurring"], shown["series"]) == (None, None, None)


def test_at_each_members_local_time_it_starts_with_the_first_zone(admin, campaign):
    assert admin("POST", f"/campaigns/{campaign}/send", {**TOKYO, "local_time": True}).status_code == 202

    shown = admin("GET", f"/campaigns/{campaign}").json
    assert (shown["due_at"], shown["local_time"]) == (f"{NEXT}-06-30T19:00:00Z", True)


@pytest.mark.parametrize(
    ("pointer", "asked"),
    [
        ("#/at", {"at": f"{NEXT}-07-01T09:00"}),
        ("#/at", {"at": f"{NEXT}-07-01T09:00:00Z", "local_time": True}),
        ("#/at", {"local_time": True}),
        ("#/at", {"at": "2001-01-01T09:00", "zone": "UTC"}),
        ("#/at", {"at": "9999-12-31T23:59", "zone": "UTC"}),
        ("#/at", {"at": "0001-01-01T00:00", "zone": "UTC"}),
        ("#/at", {"at": 5}),
        ("#/zone", {**TOKYO, "zone": "Atlantis"}),
        ("#/zone", {**TOKYO, "zone": "../../etc/passwd"}),
        ("#/window", {"window": {"from": "20:00", "until": "08:00"}}),
        ("#/window", {"window": {"from": "08:00", "until": "20:00", "days": []}}),
        ("#/window/from", {"window": {"from": "8", "until": "20:00"}}),
        ("#/window/until", {"window": {"from": "08:00", "until": "24:30"}}),
        ("#/window/days/0", {"window": {"from": "08:00", "until": "20:00", "days": ["monday"]}}),
        ("#/per_hour", {"per_hour": 0}),
        ("#/at", {**TOKYO, "recurring": {"every": "day", "time": "09:00"}}),
        ("#/recurring/every", {"recurring": {"every": "year", "time": "09:00"}}),
        ("#/recurring/days", {"recurring": {"every": "week", "time": "09:00"}}),
        ("#/recurring/day", {"recurring": {"every": "month", "time": "09:00"}}),
        ("#/recurring/nth", {"recurring": {"every": "month", "time": "09:00", "nth": 2}}),
        ("#/recurring/ends_on", {"recurring": {"every": "day", "time": "09:00", "ends_on": "2001-01-01"}}),
        ("#/recurring/starts_on", {"recurring": {"every": "day", "time": "09:00", "starts_on": "0001-01-01"}}),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(admin, campaign, pointer, asked):
    answer = admin("POST", f"/campaigns/{campaign}/send", asked)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert admin("GET", f"/campaigns/{campaign}").json["status"] == "draft"


def test_a_series_is_begun_paused_taken_up_and_ended_by_its_pattern(admin, campaign, ground):
    tomorrow = (clock.now() + timedelta(days=1)).date()
    asked = {"zone": "Asia/Tokyo", "recurring": {"every": "month", "time": "09:00", "nth": -1, "weekday": "fri", "count": 12}}
    begun = admin("POST", f"/campaigns/{campaign}/send", asked)
    path = f"/campaigns/{campaign}"

    assert (begun.status_code, begun.json["status"], begun.json["series"]) == (202, "draft", "1")
    recurring = admin("GET", path).json["recurring"]
    assert {name: recurring[name] for name in ("state", "every", "time", "nth", "weekday", "count", "missed")} == {
        "state": "active", "every": "month", "time": "09:00", "nth": -1, "weekday": "fri", "count": 12, "missed": 0,
    }  # fmt: skip
    next_at = datetime.fromisoformat(recurring["next_at"])
    assert next_at.astimezone(UTC).hour == 0 and next_at.weekday() == 4 and next_at.date() >= tomorrow - timedelta(days=1)
    assert admin("POST", f"{path}/send").status_code == 409
    for act, state in (("pause", "paused"), ("resume", "active"), ("cancel", "ended")):
        answer = admin("POST", f"{path}/{act}")
        assert (answer.status_code, answer.json["status"]) == (200, "draft")
        assert admin("GET", path).json["recurring"]["state"] == state
    with ground.reading() as session:
        actions = list(session.scalars(select(AuditRow.action).order_by(AuditRow.id)))
        assert actions[-3:] == ["series.pause", "series.resume", "series.end"]
        assert session.get_one(Campaign, int(campaign)).status == "draft"
    assert admin("POST", f"{path}/send", TOKYO).status_code == 202  # now it may go out as any other
