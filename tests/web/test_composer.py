"""The block editor in a real browser: by mouse, by keyboard alone, by touch on a telephone; nothing asked elsewhere, nothing lost."""

import io
import json
import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from kairan.models.campaigns import Campaign, Revision
from kairan.models.media import Medium
from kairan.runtime import Runtime
from mailer.compose import document
from tests.support.installation import wait_for
from tests.web.test_browser import _sign_in as sign_in
from tests.web.test_report_pages import words

SHOTS = os.environ.get("SHOTS", "")
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def png(width: int = 300, height: int = 200) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "#c96a2b").save(out, "PNG")
    return out.getvalue()


def saved(ground: Runtime) -> dict[str, Any]:
    """The newest document of the newest campaign."""
    with ground.reading() as session:
        content = session.scalars(select(Revision.content).order_by(Revision.campaign_id.desc(), Revision.number.desc())).first()
    assert content is not None
    return dict(json.loads(content))


def kinds(found: dict[str, Any]) -> list[str]:
    """Blocks in the order of the mail."""
    return [block["type"] for section in found["body"]["content"] for column in section["content"] for block in column["content"]]


def begin(page: Any, address: str, start: str = "empty", *, language: str = "en") -> None:
    sign_in(page, address, language)
    page.goto(f"{address}/campaigns/new?start={start}")
    page.fill("#name", "Autumn")
    page.click("main .actions .btn.pri")
    page.wait_for_url("**/recipients")
    page.goto(page.url.replace("/recipients", "/content"))
    page.wait_for_selector("[data-composer][data-ready]")


def wait_saved(page: Any) -> None:
    page.wait_for_selector("[data-savestate][data-state=saved]", timeout=15_000)


# ---- without a browser


@pytest.mark.parametrize("name", ["newsletter", "announcement", "offer", "event", "digest", "welcome", "repermission", "notice", "empty"])
def test_every_starter_is_a_mail(ground: Runtime, admin: Any, name: str) -> None:
    for language in ("en", "ja"):
        admin.post("/preferences", {"language": language})
        made = admin.post("/campaigns/new", {"name": name, "start": name})
        path = made.headers["Location"].replace("/recipients", "")
        answer = admin.get(f"{path}/preview")
        assert answer.status_code == 200 and "k-body" in answer.get_data(as_text=True)
        with ground.reading() as session:
            campaign = session.scalars(select(Campaign).order_by(Campaign.id.desc())).first()
            assert campaign is not None
            revision = session.get_one(Revision, (campaign.id, 1))
        assert revision.kind == "document" and bool(revision.subject) == (name != "empty")
        assert len(document.read(revision.content)["body"]["content"]) >= 1


def test_a_document_that_lies_is_refused_and_the_old_one_stays(ground: Runtime, admin: Any) -> None:
    path = admin.post("/campaigns/new", {"name": "x", "start": "newsletter"}).headers["Location"].replace("/recipients", "/content")
    before = saved(ground)
    form = {
        "kind": "document",
        "base": "1",
        "subject": "x",
        "content": '{"version": 1, "body": {"type": "doc", "content": [{"type": "script"}]}}',
    }
    answer = admin.post(path, form)
    assert answer.status_code == 422 and "cannot stand here" in words(answer)
    assert saved(ground) == before


def test_own_html_is_for_administrators_and_stays_when_others_save(ground: Runtime, admin: Any, signed_in: Callable[[str], Any]) -> None:
    path = admin.post("/campaigns/new", {"name": "x", "start": "empty"}).headers["Location"].replace("/recipients", "/content")

    def content(html: str) -> str:
        found = document.empty()
        found["body"]["content"][0]["content"][0]["content"] = [{"type": "html", "attrs": {"html": html}}]
        return json.dumps(found)

    marketer = signed_in("marketer")
    form = {"kind": "document", "subject": "x"}
    assert marketer.post(path, {**form, "base": "1", "content": content("<b>x</b>")}).status_code == 422
    assert admin.post(path, {**form, "base": "1", "content": content("<b>x</b>")}).status_code == 303
    assert marketer.post(path, {**form, "base": "2", "subject": "y", "content": content("<b>x</b>")}).status_code == 303
    assert marketer.post(path, {**form, "base": "3", "content": content("<b>y</b>")}).status_code == 422


def test_pictures_are_uploaded_described_and_stay_where_they_are_used(ground: Runtime, admin: Any) -> None:
    assert "There are no pictures yet" in words(admin.get("/media"))
    made = admin.post("/media", {"file": (io.BytesIO(png()), "sun.png")}, headers={"Accept": "application/json"})
    assert made.status_code == 201 and re.fullmatch(r"/m/[0-9a-f]{64}\.png", made.json["src"])
    assert admin.get(made.json["src"]).headers["Cache-Control"].endswith("immutable")
    assert [item["name"] for item in admin.get("/media/list").json["items"]] == ["sun.png"]
    refused = admin.post("/media", {"file": (io.BytesIO(b"<svg onload='x()'/>"), "x.svg")}, headers={"Accept": "application/json"})
    assert refused.status_code == 422 and refused.json["error"]
    admin.post("/media/1", {"alt": "A low sun"})

    path = admin.post("/campaigns/new", {"name": "Mail", "start": "empty"}).headers["Location"].replace("/recipients", "/content")
    found = document.empty()
    found["body"]["content"][0]["content"][0]["content"] = [{"type": "image", "attrs": {"src": made.json["src"]}}]
    admin.post(path, {"kind": "document", "base": "1", "subject": "x", "content": json.dumps(found)})
    page = words(admin.get("/media"))
    assert "Used in Mail" in page
    admin.post("/media/1/delete")
    with ground.reading() as session:
        assert session.get_one(Medium, 1).alt == "A low sun"


# ---- in a browser

PASTE = """html => {
    const data = new DataTransfer();
    data.setData("text/html", html);
    const pasted = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
    document.querySelector(".c-mail").dispatchEvent(pasted);
}"""


@pytest.mark.slow
@only_sqlite
def test_by_mouse_blocks_go_in_are_set_and_come_out_as_mail(ground: Runtime, address: str, new_page: Callable[..., Any], axe: Any) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 1000})
    begin(page, address)
    page.click("[data-kind=heading]")
    page.keyboard.type("Colours of autumn")
    page.click("[data-kind=button]")
    settings = page.locator("[data-panel]")
    settings.get_by_label("Words", exact=True).fill("Come along")
    settings.get_by_label("Leads to").fill("https://shop.example/autumn")
    page.click("[data-kind=columns2]")
    page.keyboard.type("Left words")
    page.click("[data-kind=image]")
    with page.expect_response("**/media"):
        page.click("[data-panel] >> text=Choose a picture")
        page.set_input_files("#c-upload", {"name": "sun.png", "mimeType": "image/png", "buffer": png()})
    page.wait_for_selector(".c-mail img")
    assert axe(page) == []
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/composer-mouse.png", full_page=True)
    wait_saved(page)

    wait_for("it is saved", lambda: "image" in kinds(saved(ground)), 10)
    found = saved(ground)
    assert kinds(found)[:2] == ["heading", "button"] and len(found["body"]["content"]) == 2
    preview = page.frame(name="preview")
    preview.wait_for_selector("text=Come along")
    preview.wait_for_selector("text=Left words")
    assert preview.inner_text("h2") == "Colours of autumn"
    # undo takes back block after block, redo brings them again
    for _ in range(30):
        if page.is_disabled("[data-act=undo]"):
            break
        page.click("[data-act=undo]")
    assert page.locator(".c-mail img").count() == 0
    for _ in range(30):
        if page.is_disabled("[data-act=redo]"):
            break
        page.click("[data-act=redo]")
    assert page.locator(".c-mail img").count() == 1


@only_sqlite
def test_by_keyboard_alone_blocks_are_made_moved_doubled_and_removed(ground: Runtime, address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1280, "height": 900})
    begin(page, address)
    page.locator(".c-mail").focus()
    page.keyboard.type("First")
    page.keyboard.press("Enter")
    page.keyboard.type("/butt")
    page.wait_for_selector("#c-slash-button[aria-selected=true]")
    page.keyboard.press("Enter")
    wait_for("the button is there", lambda: page.locator(".c-mail .c-button").count() == 1)
    page.keyboard.press("Alt+ArrowUp")
    first = "document.querySelector('.c-column').firstElementChild.dataset.block"
    wait_for("it stands above", lambda: page.evaluate(first) == "button")
    page.keyboard.press("Control+d")
    wait_for("there are two", lambda: page.locator(".c-mail .c-button").count() == 2)
    page.keyboard.press("Control+Shift+Backspace")
    wait_for("and one again", lambda: page.locator(".c-mail .c-button").count() == 1)
    page.keyboard.press("Control+End")
    page.keyboard.press("Shift+Home")
    # The browser tells of a selection a moment later; nobody is as quick as this test.
    wait_for("the words are selected", lambda: not page.evaluate("document.querySelector('[data-composer]').editor.state.selection.empty"))
    page.keyboard.press("Control+b")
    page.keyboard.press("Control+k")
    page.keyboard.type("javascript:alert(1)")
    page.keyboard.press("Enter")
    page.wait_for_selector("#c-href[aria-invalid=true]")
    page.keyboard.press("Control+a")
    page.keyboard.type("shop.example/x")
    page.keyboard.press("Enter")
    wait_for(
        "the words are a link",
        lambda: (
            page.locator(".c-mail a[href='https://shop.example/x'] strong, .c-mail strong a[href='https://shop.example/x']").count() == 1
        ),
    )
    wait_saved(page)
    wait_for("it is saved", lambda: kinds(saved(ground)) == ["button", "paragraph"], 10)
    text = saved(ground)["body"]["content"][0]["content"][0]["content"][1]["content"][0]
    assert {mark["type"] for mark in text["marks"]} == {"bold", "link"}


@only_sqlite
@pytest.mark.parametrize(("scheme", "language"), [("light", "ja"), pytest.param("dark", "en", marks=pytest.mark.slow)])
def test_on_a_telephone_by_touch(ground: Runtime, address: str, new_page: Callable[..., Any], axe: Any, scheme: str, language: str) -> None:
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": 390, "height": 844}, has_touch=True)
    begin(page, address, "newsletter", language=language)
    page.tap("[data-kind=coupon]")
    page.wait_for_selector(".c-coupon.ProseMirror-selectednode")
    page.locator("[data-panel] input").first.fill("AUTUMN26")
    wait_saved(page)  # a tap while the page still scrolls is none
    page.locator(".c-mail h1").first.tap()
    wait_for("the headline has the cursor", lambda: page.evaluate("document.querySelector('[data-composer]').editor.isActive('heading')"))
    page.keyboard.press("End")
    page.keyboard.type("!")
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/composer-phone-{scheme}-{language}.png", full_page=True)
    wait_saved(page)
    wait_for("it is saved", lambda: "AUTUMN26" in json.dumps(saved(ground)), 10)
    page.goto(page.url.replace("/content", "/review"))
    assert axe(page) == []


@only_sqlite
def test_what_is_pasted_comes_out_clean(ground: Runtime, address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1280, "height": 900})
    begin(page, address)
    page.locator(".c-mail").focus()
    word = (
        '<html xmlns:o="urn:schemas-microsoft-com:office:office"><body><!--StartFragment--><p class=MsoNormal style="margin:0"><b>Bold</b> '
        '<span style="mso-fareast-language:JA;font-family:Calibri">from Word<o:p></o:p></span></p><script>alert(1)</script>'
        '<p onclick="x()"><a href="javascript:alert(1)">bad</a> <a href="https://good.example/">good</a></p><iframe src="//x"></iframe>'
        "<img src=x onerror=alert(1)><!--EndFragment--></body></html>"
    )
    page.evaluate(
        PASTE,
        word,
    )
    page.wait_for_selector("text=from Word")
    wait_saved(page)
    wait_for("it is saved", lambda: "from Word" in json.dumps(saved(ground)), 10)
    kept = json.dumps(saved(ground))
    assert "https://good.example/" in kept and '"bold"' in kept
    assert not re.search(r"javascript|script|onerror|Mso|Calibri|iframe", kept)


@only_sqlite
def test_what_google_docs_writes_stays_bold(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1280, "height": 900})
    begin(page, address)
    page.locator(".c-mail").focus()
    docs = (
        '<meta charset="utf-8"><b style="font-weight:normal;" id="docs-internal-guid-1"><p dir="ltr">'
        '<span style="font-weight:700">Strong</span><span style="font-weight:400"> and not</span></p></b>'
    )
    page.evaluate(
        PASTE,
        docs,
    )
    page.wait_for_selector("text=and not")
    assert page.locator(".c-mail strong").all_inner_texts() == ["Strong"]


@only_sqlite
def test_a_mail_is_dragged_together(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 1000})
    begin(page, address, "newsletter")
    before = page.locator(".c-mail [data-block=divider]").count()
    page.drag_and_drop("[data-palette] [data-kind=divider]", ".c-mail h1 >> nth=0")
    wait_for("it was dropped", lambda: page.locator(".c-mail [data-block=divider]").count() == before + 1)


@pytest.mark.slow
@only_sqlite
def test_products_and_whom_a_block_is_for_are_set_beside_the_mail(
    ground: Runtime, address: str, new_page: Callable[..., Any], axe: Any
) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 1000})
    begin(page, address)
    settings = page.locator("[data-panel]")
    page.locator(".c-mail").focus()
    page.keyboard.type("For those we know by name")
    settings.get_by_label("For whom").first.select_option("first_name")
    page.wait_for_selector(".c-mail [data-for='Only if First name has a value']")
    page.click("[data-kind=products]")
    settings.get_by_label("Paste a table").fill(
        "Sencha\tGreen tea\t1,200 yen\thttps://shop.example/1\nHojicha\tRoasted\t900 yen\tjavascript:x"
    )
    settings.get_by_role("button", name="Add these products").click()
    page.wait_for_selector(".c-product:has-text('Hojicha')")
    settings.locator("details.c-item summary").nth(1).click()
    settings.get_by_label("Price").nth(1).fill("950 yen")
    settings.get_by_role("button", name="Add a product").click()
    settings.get_by_role("button", name="Remove the product").last.click()
    assert axe(page) == []
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/composer-products.png", full_page=True)
    page.click("[data-kind=paragraph]")
    page.keyboard.type("Underneath")
    wait_saved(page)

    wait_for("it is saved", lambda: "Underneath" in json.dumps(saved(ground)), 10)
    first, products, *_rest = saved(ground)["body"]["content"]
    assert first["content"][0]["content"][0]["attrs"]["condition"] == {"field": "first_name", "is": "filled", "value": ""}
    assert [(item["title"], item["price"], item["href"]) for item in products["attrs"]["items"]] == [
        ("Sencha", "1,200 yen", "https://shop.example/1"),
        ("Hojicha", "950 yen", ""),
    ]
    page.frame(name="preview").wait_for_selector("text=950 yen")


COPY = """() => {
    const data = new DataTransfer();
    document.querySelector(".c-mail").dispatchEvent(new ClipboardEvent("copy", { clipboardData: data, bubbles: true, cancelable: true }));
    return data.getData("text/html");
}"""


@pytest.mark.slow
@only_sqlite
def test_a_block_is_copied_into_another_campaign_as_it_is(ground: Runtime, address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1440, "height": 1000})
    begin(page, address)
    page.click("[data-kind=button]")
    settings = page.locator("[data-panel]")
    settings.get_by_label("Words", exact=True).fill('Come "along"')
    settings.get_by_label("Leads to").fill("https://shop.example/autumn")
    settings.get_by_label("As wide as the column").check()
    settings.get_by_label("For whom").first.select_option("last_name")
    page.locator(".c-mail .c-button").click()
    html = page.evaluate(COPY)
    wait_saved(page)
    before = saved(ground)["body"]["content"][0]["content"][0]["content"][0]

    page.goto(f"{address}/campaigns/new?start=empty")
    page.fill("#name", "Winter")
    page.click("main .actions .btn.pri")
    page.wait_for_url("**/recipients")
    page.goto(page.url.replace("/recipients", "/content"))
    page.wait_for_selector("[data-composer][data-ready]")
    page.locator(".c-mail").focus()
    page.evaluate(PASTE, html)
    page.wait_for_selector(".c-mail .c-button")
    wait_saved(page)

    wait_for("it is saved", lambda: "button" in kinds(saved(ground)), 10)
    assert before in saved(ground)["body"]["content"][0]["content"][0]["content"]


@only_sqlite
def test_what_a_pasted_block_says_of_itself_is_not_believed(ground: Runtime, address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(locale="en-GB", viewport={"width": 1280, "height": 900})
    begin(page, address)
    page.locator(".c-mail").focus()
    page.evaluate(
        PASTE, """<div data-block="button" data-attrs='{"label":7,"href":"https://good.example/","full":"x"}'></div><p>and words</p>"""
    )
    page.wait_for_selector("text=and words")
    wait_saved(page)

    wait_for("it is saved", lambda: "button" in kinds(saved(ground)), 10)
    button = next(block for block in saved(ground)["body"]["content"][0]["content"][0]["content"] if block["type"] == "button")
    assert (button["attrs"]["label"], button["attrs"]["href"], button["attrs"]["full"]) == ("", "https://good.example/", False)
