"""Labels as a marketer works with them: given on the first step, filtered by, changed after the send."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.runtime import Runtime
from mailer.campaigns import labels
from tests.support import ground as make
from tests.web.test_browser import _sign_in as sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS", "")
LONG = "ひとつのことばとしてはとても長いけれども四十文字までなら書けるラベルです"


@pytest.fixture
def campaign(ground: Runtime, admin: Any) -> str:
    with ground.writing() as session:
        return f"/campaigns/{make.make_campaign(session, make.make_list(session)).id}"


def _held(ground: Runtime) -> tuple[list[str], bool]:
    with ground.reading() as session:
        return labels.of(session, [1])[1], session.get_one(Campaign, 1).in_archive


def _text(answer: Any) -> str:
    return str(answer.get_data(as_text=True))


FIRST_STEP = {"name": "Autumn", "recording": "identified", "lists": "1", "labelled": "said"}


def test_the_first_step_takes_labels_and_the_place_in_the_archive(admin, campaign, ground):
    admin.post(f"{campaign}/recipients", {**FIRST_STEP, "labels": "春、 Sale,sale", "in_archive": "yes"})
    assert _held(ground) == (["Sale", "春"], True)
    assert 'value="Sale, 春"' in _text(admin.get(f"{campaign}/recipients"))

    admin.post(f"{campaign}/recipients", {**FIRST_STEP, "labels": ""})
    assert _held(ground) == ([], False)


def test_a_form_without_the_fields_changes_neither(admin, campaign, ground):
    admin.post(f"{campaign}/recipients", {**FIRST_STEP, "labels": "spring", "in_archive": "yes"})
    admin.post(f"{campaign}/recipients", {name: value for name, value in FIRST_STEP.items() if name != "labelled"})
    assert _held(ground) == (["spring"], True)


def test_too_many_or_too_long_is_said_beside_the_field_and_kept(admin, campaign, ground):
    for path in (f"{campaign}/recipients", f"{campaign}/labels"):
        for typed in (", ".join(map(str, range(11))), "x" * 41):
            answer = admin.post(path, {**FIRST_STEP, "labels": typed})
            assert answer.status_code == 422 and 'id="labels-error"' in _text(answer) and f'value="{typed}"' in _text(answer)
    autosaved = admin.post(f"{campaign}/recipients", {**FIRST_STEP, "labels": "x" * 41}, headers={"Accept": "application/json"})
    assert autosaved.status_code == 422 and "labels" in autosaved.json["errors"]
    assert _held(ground) == ([], True)


def test_a_sent_campaign_is_labelled_and_taken_out_on_a_page_of_its_own(admin, campaign, ground, signed_in: Callable[[str], Any]):
    with ground.writing() as session:
        sent = session.get_one(Campaign, 1)
        sent.status, sent.started_at = CampaignStatus.SENT, make.NOW
    assert f"{campaign}/labels" in _text(admin.get(campaign))
    assert admin.post(f"{campaign}/labels", {"labelled": "said", "labels": "spring"}).status_code == 303
    assert _held(ground) == (["spring"], False)
    analyst = signed_in("analyst")
    assert analyst.get(f"{campaign}/labels").status_code == 200 and analyst.post(f"{campaign}/labels", {}).status_code == 403
    assert admin.get("/campaigns/99/labels").status_code == admin.post("/campaigns/99/labels", {"labelled": "said"}).status_code == 404


def test_the_list_of_campaigns_shows_labels_and_is_filtered_by_one(admin, campaign, ground):
    with ground.writing() as session:
        other = make.make_campaign(session, make.make_list(session, "Other"))
        other.name = "Winter"
        labels.put(session, 1, ["R&D <b>"])
        labels.put(session, other.id, ["cold"])

    everything = _text(admin.get("/campaigns"))
    assert 'href="/campaigns?label=R%26D+%3Cb%3E"' in everything.replace("%20", "+") and "R&amp;D &lt;b&gt;" in everything
    some = _text(admin.get("/campaigns", query_string={"label": "cold"}))
    assert "Winter" in some and ">Autumn</a>" not in some and "tab=sent&amp;label=cold" in some
    assert "No campaign here has the label" in _text(admin.get("/campaigns", query_string={"label": "none"}))
    assert admin.get("/campaigns?label=%00&after=%C2%B2").status_code == 200


@pytest.mark.parametrize(("width", "scheme", "language"), [(390, "light", "ja"), (1440, "dark", "en"), (1440, "light", "ja")])
def test_labels_are_open_to_everybody(ground, campaign, address, new_page, axe, width, scheme, language):
    with ground.writing() as session:
        labels.put(session, 1, ["spring", LONG, *(f"label {number}" for number in range(8))])
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})
    sign_in(page, address, language)
    for name, path in {
        "list": "/campaigns",
        "filtered": "/campaigns?label=spring",
        "step": f"{campaign}/recipients",
        "none": "/campaigns?label=x",
    }.items():
        page.goto(address + path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/labels-{name}-{width}-{scheme}-{language}.png", full_page=True)
