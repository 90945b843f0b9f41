"""The brand is followed by what is yet to be sent, sections are shared by reference, and campaigns become templates."""

import json
import os

import pytest

from kairan import clock
from kairan.models.campaigns import Campaign
from kairan.models.library import SavedSection, Template
from mailer.campaigns import compilation, library, revisions
from mailer.compose import starters
from mailer.compose.brand import Brand, hard_to_read
from tests.web.test_browser import _sign_in

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHOTS = os.environ.get("SHOTS")
BRAND = {
    "background": "#f7f3f5", "content": "#ffffff", "text": "#222222", "heading": "#401030", "link": "#7a2e5d", "button": "#7a2e5d",
    "buttonText": "#ffffff", "font": "serif", "radius": "20", "logo": "", "logo_alt": "Aoba Club", "logo_href": "https://aoba.example/",
    "social_x": "https://x.example/aoba", "footer_ja": "青葉クラブ事務局", "footer_en": "The office of Aoba Club",
}  # fmt: skip
SECTION = {
    "type": "section",
    "content": [{"type": "column", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Opening hours"}]}]}],
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301010018dd8db00000000049454e44ae426082"
)


@pytest.fixture
def campaign(admin) -> str:
    return admin.post("/campaigns/new", {"name": "Autumn", "start": "newsletter"}).location.removesuffix("/recipients")


def _html(ground) -> str:
    with ground.reading() as session:
        return compilation.source_of(session, session.get_one(Campaign, 1), "https://news.example").html or ""


def _brand(ground) -> Brand | None:
    with ground.reading() as session:
        return library.brand(session)


def test_a_mail_of_blocks_follows_the_brand_and_one_that_does_not_stays(admin, campaign, ground):
    before = _html(ground)
    assert "#2f4bd0" in before

    admin.post("/templates/brand", BRAND)

    assert "#7a2e5d" in _html(ground) and "#2f4bd0" not in _html(ground)
    page = admin.get("/templates/brand").get_data(as_text=True)
    assert f'<a href="{campaign}/content">Autumn</a>' in page
    _change(ground, lambda found: found["theme"].update(brand=False))
    assert "#7a2e5d" not in _html(ground)
    assert "No campaign that is yet to be sent follows" in admin.get("/templates/brand").get_data(as_text=True)


def _change(ground, change) -> None:
    with ground.writing() as session:
        campaign = session.get_one(Campaign, 1)
        found = json.loads(revisions.current(session, campaign).content)
        change(found)
        revisions.save(session, 1, campaign.revision, {"content": json.dumps(found)}, now=clock.now())


def test_the_footer_says_the_brands_words_in_the_members_language_above_what_the_law_asks(admin, campaign, ground):
    admin.post("/templates/brand", BRAND)

    page = admin.get(f"{campaign}/preview").get_data(as_text=True)
    text = admin.get(f"{campaign}/preview?view=text").get_data(as_text=True)

    for shown in (page, text):
        assert "https://x.example/aoba" in shown
        assert shown.index("The office of Aoba Club") < shown.index("1-2-3 Aoba, Sendai")


def test_a_logo_is_uploaded_and_stands_where_the_block_is_and_the_name_before(admin, campaign, ground):
    _change(ground, lambda found: found["body"]["content"][0]["content"][0]["content"].insert(0, {"type": "logo", "attrs": {}}))
    assert ">Aoba Club</p>" in _html(ground)

    import io

    admin.post("/templates/brand", {**BRAND, "file": (io.BytesIO(PNG), "logo.png")}, content_type="multipart/form-data")

    logo = _brand(ground).logo
    assert logo.startswith("/m/") and f'https://news.example{logo}"' in _html(ground)
    assert 'alt="Aoba Club"' in _html(ground)


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("button", {"button": "red"}),
        ("logo", {"logo": "javascript:alert(1)"}),
        ("logo_href", {"logo_href": "javascript:alert(1)"}),
        ("social", {"social_x": "data:text/html,x"}),
    ],
)
def test_what_is_no_brand_is_refused_beside_the_field_and_nothing_typed_is_lost(admin, ground, field, typed):
    answer = admin.post("/templates/brand", {**BRAND, **typed})

    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "The office of Aoba Club" in page
    assert f'id="{field}-error"' in page or f'href="#{field}"' in page
    assert _brand(ground) is None


def test_too_little_contrast_is_said_with_its_ratio(admin):
    admin.post("/templates/brand", {**BRAND, "buttonText": "#8a3e6d"})

    assert "Words of buttons on Buttons: 1." in admin.get("/templates/brand").get_data(as_text=True)
    assert hard_to_read(Brand()) == []


def test_the_preview_shows_what_is_typed_and_keeps_nothing(admin, ground):
    page = admin.post("/templates/brand/preview", BRAND).get_data(as_text=True)

    assert "#7a2e5d" in page
    assert _brand(ground) is None
    assert "#2f4bd0" in admin.get("/templates/brand/preview").get_data(as_text=True)


def test_a_saved_section_is_in_every_mail_that_holds_it_and_changes_there(admin, campaign, ground):
    kept = admin.post("/templates/sections", {"name": "Hours", "section": json.dumps(SECTION)}).json
    reference = {"type": "saved", "attrs": {"id": kept["id"], "name": "Hours"}}
    _change(ground, lambda found: found["body"]["content"].append(reference))
    assert "Opening hours" in _html(ground)

    again = {"name": "Hours", "section": json.dumps(SECTION).replace("Opening hours", "Closed on Monday")}
    assert admin.post("/templates/sections", again).status_code == 409
    assert admin.post("/templates/sections", {**again, "over": "yes"}).json["id"] == kept["id"]

    assert "Closed on Monday" in _html(ground) and "Opening hours" not in _html(ground)
    page = admin.get("/templates/sections").get_data(as_text=True)
    assert f'<a href="{campaign}/content">Autumn</a>' in page
    assert admin.get(f"/templates/sections/{kept['id']}/preview").status_code == 200


def test_a_section_in_use_stays_and_one_that_is_gone_is_an_error_before_sending(admin, campaign, ground):
    kept = admin.post("/templates/sections", {"name": "Hours", "section": json.dumps(SECTION)}).json
    _change(ground, lambda found: found["body"]["content"].append({"type": "saved", "attrs": {"id": kept["id"], "name": "Hours"}}))

    admin.post(f"/templates/sections/{kept['id']}/delete")
    with ground.writing() as session:
        row = session.get(SavedSection, kept["id"])
        assert row is not None
        session.delete(row)  # as a restored backup may lack it

    assert "“Hours” is no longer there" in admin.get(f"{campaign}/review").get_data(as_text=True)


@pytest.mark.parametrize(
    "section", ["", "[", json.dumps({"type": "column"}), json.dumps({"type": "section", "content": []}), json.dumps(None)]
)
def test_what_is_no_section_is_not_saved(admin, ground, section):
    answer = admin.post("/templates/sections", {"name": "x", "section": section})

    assert answer.status_code == 422 and answer.json["error"]
    assert admin.post("/templates/sections", {"name": "", "section": json.dumps(SECTION)}).status_code == 422
    with ground.reading() as session:
        assert library.sections(session) == []


def test_a_campaign_becomes_a_template_and_a_template_a_campaign(admin, campaign, ground):
    admin.post(f"{campaign}/template", {"name": "Our month"})
    taken = admin.post(f"{campaign}/template", {"name": "our MONTH"})
    assert "already" in admin.get(taken.location).get_data(as_text=True)
    admin.post(f"{campaign}/template", {"name": "Our month", "over": "yes"})

    assert "Our month" in admin.get("/templates").get_data(as_text=True)
    made = admin.post("/campaigns/new", {"name": "December", "start": "own-1"})
    with ground.reading() as session:
        first, second = (revisions.current(session, session.get_one(Campaign, number)) for number in (1, 2))
        assert made.location == "/campaigns/2/recipients"
        assert (second.content, second.subject) == (first.content, first.subject)
    admin.post("/templates/1/delete")
    with ground.reading() as session:
        assert session.get(Template, 1) is None
    assert admin.post("/campaigns/new", {"name": "x", "start": "own-1"}).status_code == 422


def test_every_start_has_a_picture_of_itself(admin):
    for name in starters.BLOCKS:
        assert admin.get(f"/templates/starters/{name}/preview").status_code == 200
    assert admin.get("/templates/starters/letter/preview").status_code == 404


def test_an_analyst_looks_and_changes_nothing(signed_in, campaign):
    analyst = signed_in("analyst")

    assert analyst.get("/templates").status_code == analyst.get("/templates/brand").status_code == 200
    for path in ("/templates/brand", "/templates/sections", "/templates/sections/1/delete", "/templates/1/delete", f"{campaign}/template"):
        assert analyst.post(path, BRAND).status_code == 403


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme", "language"), [(1440, "dark", "en"), (390, "light", "ja")])
def test_the_pages_are_open_to_everybody_and_fit_the_screen(admin, campaign, ground, address, new_page, axe, width, scheme, language):
    admin.post("/templates/brand", BRAND)
    admin.post("/templates/sections", {"name": "Hours", "section": json.dumps(SECTION)})
    admin.post(f"{campaign}/template", {"name": "Our month"})
    page = new_page(locale="en-GB", viewport={"width": width, "height": 900}, color_scheme=scheme)
    _sign_in(page, address, language)

    for path in ("/templates", "/templates/sections", "/templates/brand", "/campaigns/new", "/media"):
        page.goto(address + path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/library{path.replace('/', '-')}-{width}-{scheme}-{language}.png", full_page=True)


@pytest.mark.browser
def test_in_the_editor_a_section_is_saved_put_into_another_mail_and_taken_apart(admin, campaign, ground, address, new_page):
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 900})
    _sign_in(page, address, "en")
    page.goto(f"{address}{campaign}/content")
    page.click(".c-mail p >> nth=0")
    page.click("details.c-group summary:has-text('Section')")
    page.click("summary:has-text('Save for several mails')")
    page.fill("details:has(> summary:has-text('Save for several mails')) input[type=text]", "Top")
    page.click("button:has-text('Save for several mails')")
    page.wait_for_selector(".c-saved:has-text('Top')")
    page.wait_for_selector("[data-savestate][data-state=saved]")
    assert '"saved"' in page.input_value("textarea[name=content]")

    second = admin.post("/campaigns/new", {"name": "Second", "start": "empty"}).location.removesuffix("/recipients")
    page.goto(f"{address}{second}/content")
    page.select_option("[data-palette] select", label="Top")
    page.wait_for_selector(".c-saved:has-text('Top')")
    page.click("button:has-text('Take it apart')")
    page.wait_for_selector(".c-mail h1")
    assert page.locator(".c-saved").count() == 0
