"""Segments in the browser: built without JavaScript and with it, counted, used by a campaign, and deleted when nothing needs them."""

import os
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audience import Attribute
from kairan.models.audit import AuditRow
from kairan.models.segments import Segment
from mailer.audience import segments
from mailer.campaigns import lifecycle
from tests.support import ground as make
from tests.web.test_browser import _sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS")
HOME = "/audience/segments"
JAPANESE = {"all": [{"field": "locale", "op": "is", "value": "ja"}]}
WIDE = {
    "all": [
        {"field": "list", "op": "in", "value": "1"},
        {"field": "attributes.birthday", "op": "anniversary", "value": 7},
        {"any": [{"field": "attributes.points", "op": "between", "value": [5, 20]}, {"field": "clicked", "op": "link", "value": "autumn"}]},
        {
            "none": [
                {"field": "did_nothing", "op": "recently", "value": 5},
                {"field": "domain", "op": "one_of", "value": ["a.example", "b.example"]},
            ]
        },
    ]
}


@pytest.fixture
def made(ground, app) -> None:
    """A list of six members, every other of them Japanese, two attributes, and a draft."""
    with ground.writing() as session:
        now = clock.now()
        into = make.make_list(session, now=now)
        make.make_members(session, 6, into, now=now)
        session.add_all(Attribute(name=name, kind="text", created_at=now) for name in ("birthday", "points"))
        make.make_campaign(session, into, now=now)


def _make(ground, rule=JAPANESE, name="Japanese") -> int:
    with ground.writing() as session:
        return segments.create(session, name, rule, now=clock.now()).id


def _kept(ground) -> list[tuple[str, dict]]:
    with ground.reading() as session:
        return [(row.name, row.rule) for row in session.scalars(select(Segment).order_by(Segment.id))]


def _fields(page: str) -> dict:
    """What a browser would send of the form of a page."""
    form = page[page.index('id="segment"') :]
    found: dict = {"part": re.findall(r'name="part" value="([^"]*)"', form)}
    found |= {name: value for name, value in re.findall(r'type="hidden" name="(was-[^"]*)" value="([^"]*)"', form)}
    for name, body in re.findall(r'<select id="[^"]*" name="([^"]*)".*?>(.*?)</select>', form, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', body) or re.search(r'<option value="([^"]*)"', body)
        found[name] = chosen[1]
    found |= {name: value for name, value in re.findall(r'<input id="[^"]*" name="([^"]*)"[^>]* value="([^"]*)"', form)}
    found |= {name: value for name, value in re.findall(r'<input id="[^"]*" name="([^"]*)" value="([^"]*)"', form)}
    found |= {
        name: value.strip("\r\n") for name, value in re.findall(r'<textarea id="[^"]*" name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.S)
    }
    return found


def _press(browser, path, page, do, **typed):
    return browser.post(
        path, {**_fields(page), **{name.replace("__", "-").replace("_r", "-r"): value for name, value in typed.items()}, "do": do}
    )


def test_without_a_segment_the_page_says_what_one_is(admin):
    page = admin.get(HOME).get_data(as_text=True)

    assert "No segments yet" in page
    assert f'href="{HOME}/new"' in page
    assert f'href="{HOME}"' in admin.get("/audience/lists").get_data(as_text=True)


def test_a_segment_is_built_without_javascript(admin, made, ground):
    path = f"{HOME}/new"
    page = admin.get(path).get_data(as_text=True)
    assert "They are counted when the rules are whole." in page

    page = _press(admin, path, page, "show", **{"name": "Mine", "field-r-0": "locale"}).get_data(as_text=True)
    assert 'value="Mine"' in page
    page = _press(admin, path, page, "group r", **{"value-r-0": "ja"}).get_data(as_text=True)
    assert 'name="value-r-0" value="ja"' in page
    page = _press(admin, path, page, "show", **{"kind-r-1": "any", "field-r-1-0": "email"}).get_data(as_text=True)
    page = _press(admin, path, page, "show", **{"op-r-1-0": "begins_with", "value-r-1-0": "m1@"}).get_data(as_text=True)
    page = _press(admin, path, page, "add r-1").get_data(as_text=True)
    page = _press(admin, path, page, "add r").get_data(as_text=True)
    assert page.count('role="group" aria-label="Rule') == 4
    page = _press(admin, path, page, "remove r-2").get_data(as_text=True)
    page = _press(admin, path, page, "remove r-1-1").get_data(as_text=True)
    page = _press(admin, path, page, "count").get_data(as_text=True)
    assert "1 member" in page and "m1@members.example" in page
    assert _kept(ground) == []

    answer = _press(admin, path, page, "save")

    assert answer.status_code == 303
    nested = {"any": [{"field": "email", "op": "begins_with", "value": "m1@"}]}
    assert _kept(ground) == [("Mine", {"all": [JAPANESE["all"][0], nested]})]
    with ground.reading() as session:
        assert session.scalars(select(AuditRow.action)).all()[-1:] == ["segment.create"]


def test_every_kind_of_rule_goes_through_the_form_unchanged(admin, made, ground):
    number = _make(ground, WIDE, "Wide")
    page = admin.get(f"{HOME}/{number}").get_data(as_text=True)

    assert _press(admin, f"{HOME}/{number}", page, "save", name="Wider").status_code == 303
    assert _kept(ground) == [("Wider", WIDE)]


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": ""}, "name"),
        ({"value-r-0": ""}, "value-r-0"),
        ({"field-r-0": "attributes.points", "op-r-0": "more", "was-r-0": "number", "value-r-0": "many"}, "value-r-0"),
        ({"field-r-0": "created_at", "op-r-0": "in_last", "was-r-0": "days", "value-r-0": "-1"}, "value-r-0"),
        ({"field-r-0": "created_at", "op-r-0": "on", "was-r-0": "date", "value-r-0": "2026-02-31"}, "value-r-0"),
        ({"field-r-0": "list", "op-r-0": "in", "was-r-0": "list", "value-r-0": "77"}, "value-r-0"),
        ({"field-r-0": "attributes.gone", "op-r-0": "yes", "was-r-0": "nothing"}, "field-r-0"),
        ({"field-r-0": ""}, "field-r-0"),
        ({"field-r-0": "x'; DROP TABLE members; --"}, "field-r-0"),
    ],
)
def test_what_is_wrong_is_said_beside_it_and_nothing_typed_is_lost(admin, made, ground, typed, field):
    number = _make(ground)
    page = admin.get(f"{HOME}/{number}").get_data(as_text=True)

    answer = _press(admin, f"{HOME}/{number}", page, "save", **{"description": "Kept words", **typed})

    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert f'href="#{field}"' in page and f'id="{field}-error"' in page
    assert "Kept words" in page
    if value := typed.get("value-r-0", ""):
        assert f'value="{value}"' in page
    assert _kept(ground) == [("Japanese", JAPANESE)]


def test_an_empty_group_and_a_taken_name_are_refused(admin, made, ground):
    _make(ground)
    number = _make(ground, WIDE, "Wide")
    page = admin.get(f"{HOME}/{number}").get_data(as_text=True)

    taken = _press(admin, f"{HOME}/{number}", page, "save", name="Japanese")
    assert "There is a segment of this name already." in taken.get_data(as_text=True)
    emptied = admin.post(f"{HOME}/new", {"name": "X", "part": "r", "kind-r": "any", "do": "save"})
    assert "A group needs a rule" in emptied.get_data(as_text=True)


def test_a_form_that_nobody_drew_breaks_nothing(admin, made):
    for posted in (
        {},
        {"part": ["r", "r", "r-0", "r-0-0", "r-9", "x", "r-0-0-0-0-0-0-0-0"], "kind-r-0": "some", "do": "group r-0"},
        {"part": ["r", *(f"r-{number}" for number in range(900))], "do": "show"},
        {"part": ["r", "r-0"], "field-r-0": "opened", "op-r-0": "is", "value-r-0": "9" * 5000, "do": "add"},
        {"part": ["r"], "do": "remove r"},
    ):
        assert admin.post(f"{HOME}/new", posted).status_code in (200, 422)
        assert admin.post(f"{HOME}/count", posted).status_code == 200


def test_a_segment_in_use_says_where_and_cannot_be_deleted(admin, made, ground):
    number = _make(ground)
    admin.post("/campaigns/1/recipients", {"name": "Autumn", "recording": "identified", "lists": "1", "segment": str(number)})

    assert 'href="/campaigns/1/edit"' in admin.get(f"{HOME}/{number}").get_data(as_text=True)
    assert "It cannot be deleted yet" in admin.get(f"{HOME}/{number}/delete").get_data(as_text=True)
    refused = admin.post(f"{HOME}/{number}/delete")
    assert refused.status_code == 409 and "Autumn" in refused.get_data(as_text=True)

    admin.post("/campaigns/1/recipients", {"name": "Autumn", "recording": "identified", "lists": "1", "segment": ""})
    assert admin.post(f"{HOME}/{number}/delete").status_code == 303
    assert admin.get(f"{HOME}/{number}").status_code == 404
    assert "No segments yet" in admin.get(HOME).get_data(as_text=True)


def test_the_recipients_step_narrows_and_leaves_out(admin, made, ground):
    narrow, out = _make(ground), _make(ground, {"all": [{"field": "email", "op": "begins_with", "value": "m1@"}]}, "First")
    given = {"name": "Autumn", "recording": "identified", "lists": "1", "segment": str(narrow), "exclude_segments": [str(out)]}

    assert admin.post("/campaigns/1/recipients", given, headers={"Accept": "application/json"}).json == {"saved": True}

    page = admin.get("/campaigns/1/recipients").get_data(as_text=True)
    assert f'<option value="{narrow}" selected>Japanese' in page
    assert "2 members" in page and "not in the segment" in page and "in an excluded segment" in page
    with ground.reading() as session:
        reach = lifecycle.reach_of(session, session.get_one(make.Campaign, 1))
        assert (reach.segment, reach.excluded_segments) == (narrow, (out,))
    assert admin.post("/campaigns/1/recipients", {**given, "segment": "99"}).status_code == 404


def test_a_count_that_takes_long_says_that_it_counts(admin, made, ground, monkeypatch):
    number = _make(ground)
    monkeypatch.setattr(segments, "AT_ONCE_S", 0.0)
    monkeypatch.setattr("kairan.sql.STEPS", 1)

    page = admin.get(f"{HOME}/{number}").get_data(as_text=True)
    assert "Counting…" in page and "count?patient=yes" in page
    assert "3 members" in admin.get(f"{HOME}/{number}?patient=yes").get_data(as_text=True)
    step = admin.get("/campaigns/1/recipients").get_data(as_text=True)
    assert "Counting…" in step and "count?patient=yes" in step
    assert "6 members" in admin.get("/campaigns/1/recipients/count?patient=yes").get_data(as_text=True)


def test_who_may_only_look_changes_no_segment_and_sees_no_address(signed_in, made, ground):
    number = _make(ground)
    analyst = signed_in("analyst")

    page = analyst.get(f"{HOME}/{number}").get_data(as_text=True)
    assert "3 members" in page and "m•••@members.example" in page and "m1@members" not in page
    assert "Add a rule" not in page
    for path in (f"{HOME}/new", f"{HOME}/{number}", f"{HOME}/{number}/delete", f"{HOME}/count"):
        assert analyst.post(path, {"name": "x", "do": "save"}).status_code == 403


# ---- in a browser


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(1440, "light", "en"), (1440, "dark", "ja"), (390, "light", "ja"), (390, "dark", "en")]
)
def test_the_pages_are_open_to_everybody_and_fit_the_screen(address, made, ground, new_page, axe, width, scheme, language):
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    _sign_in(page, address, language)
    assert page.goto(address + HOME).status == 200
    assert axe(page) == []
    number = _make(ground, WIDE, "Wide")
    _make(ground)
    with ground.writing() as session:
        lifecycle.set_reach(
            session, session.get_one(make.Campaign, 1), lifecycle.Reach((1,), segment=2, excluded_segments=(number,)), now=clock.now()
        )

    for at, path in enumerate((HOME, f"{HOME}/new", f"{HOME}/{number}", f"{HOME}/2", f"{HOME}/2/delete", "/campaigns/1/recipients")):
        answer = page.goto(address + path)

        assert answer.status == 200, path
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"segments-{at}-{width}-{scheme}-{language}.png"), full_page=True)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"


@pytest.mark.parametrize("script", [True, False], ids=["with-script", "without-script"])
def test_a_segment_is_built_by_keyboard_with_and_without_script(address, made, ground, new_page, script):
    page = new_page(locale="en-GB", java_script_enabled=script, viewport={"width": 390, "height": 900})
    _sign_in(page, address, "en")
    page.goto(f"{address}{HOME}/new")

    page.get_by_label("Name").fill("Mine")
    page.get_by_label("What rule 1 is about").select_option("locale")
    if not script:
        page.get_by_role("button", name="Show its choices").press("Enter")
    page.get_by_label("Value of rule 1").fill("ja")
    page.get_by_role("button", name="Add a group", exact=True).press("Enter")
    page.get_by_label("Which parts of group 2 must hold").select_option("none")
    page.get_by_label("What rule 2.1 is about").select_option("email")
    if not script:
        page.get_by_role("button", name="Show its choices").last.press("Enter")
    page.get_by_label("How rule 2.1 compares").select_option("begins_with")
    page.get_by_label("Value of rule 2.1").fill("m1@")
    page.get_by_label("Value of rule 2.1").blur()
    if not script:
        page.get_by_role("button", name="Count", exact=True).press("Enter")
    page.get_by_text("2 members").wait_for()
    assert page.get_by_label("Name").input_value() == "Mine"
    page.get_by_label("Value of rule 2.1").press("Enter")
    page.get_by_role("heading", name="Mine").wait_for()

    assert _kept(ground) == [("Mine", {"all": [JAPANESE["all"][0], {"none": [{"field": "email", "op": "begins_with", "value": "m1@"}]}]})]
