"""The block editor's document: whatever a client says, what is kept is a mail; whatever a member is called, the mail has one shape."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from mailer.compose import compiler, contrast, document, kinds, mjml_writer
from mailer.compose.document import DocumentError
from mailer.compose.findings import ContentError
from mailer.compose.recipient import Recipient
from tests.compose.builders import SOURCE

BASE = "https://mail.example.org"
PICTURE = "/m/" + "a" * 64 + ".png"


def text(said: str, *marks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": said, **({"marks": list(marks)} if marks else {})}


def mail(*blocks: dict[str, Any], **theme: Any) -> dict[str, Any]:
    column = {"type": "column", "content": list(blocks)}
    return {"version": 1, "theme": theme, "body": {"type": "doc", "content": [{"type": "section", "content": [column]}]}}


def paragraph(*inline: dict[str, Any]) -> dict[str, Any]:
    return {"type": "paragraph", "content": list(inline)}


def html(found: dict[str, Any]) -> str:
    made = kinds.as_html("document", json.dumps(found), picture_base=BASE)
    assert made is not None
    return made


def rendered(found: dict[str, Any], member: Recipient | None = None) -> str:
    """As a member gets it: merged, sanitised, inlined."""
    source = replace(SOURCE, html=html(found), text=None)
    return compiler.preview(source, member or Recipient(1, 1, "ada@example.org", "Ada", "Lovelace", "en", {}), "en")


EVERY_BLOCK = mail(
    {"type": "heading", "attrs": {"level": 1, "textAlign": "center"}, "content": [text("Autumn & winter")]},
    paragraph(
        text("Hi "), {"type": "mergeTag", "attrs": {"field": "first_name", "fallback": "friend"}}, text(", "),
        text("bold link", {"type": "link", "attrs": {"href": "https://shop.example/a?b=1&c=2"}}, {"type": "bold"}),
        {"type": "hardBreak"}, text("red", {"type": "textColor", "attrs": {"color": "#cc0000"}}),
    ),
    {"type": "bulletList", "content": [{"type": "listItem", "content": [paragraph(text("one"))]}]},
    {"type": "orderedList", "attrs": {"start": 3}, "content": [{"type": "listItem", "content": [paragraph(text("three"))]}]},
    {"type": "blockquote", "content": [paragraph(text("Quoted"))]},
    {"type": "image", "attrs": {"src": PICTURE, "alt": "A <low> sun", "href": "https://shop.example/sun", "width": 50}},
    {"type": "button", "attrs": {"label": "Shop & go", "href": "https://shop.example/go", "full": True}},
    {"type": "divider"}, {"type": "spacer", "attrs": {"height": 40}},
    {"type": "social", "attrs": {"links": [{"network": "line", "href": "https://line.me/x"}]}},
    {"type": "video", "attrs": {"src": PICTURE, "alt": "Film", "href": "https://video.example/1"}},
    {"type": "coupon", "attrs": {"code": "AUTUMN26", "label": "Ten per cent"}},
    {"type": "html", "attrs": {"html": "<p onclick='x()'>own<br>words</p><script>alert(1)</script>"}},
)  # fmt: skip


def test_every_block_comes_out_as_mail() -> None:
    page = rendered(EVERY_BLOCK)
    root = etree.HTML(page)

    words = " ".join("".join(root.find("body").itertext()).split())
    for said in ("Autumn & winter", "Hi Ada, bold link", "one", "three", "Quoted", "Shop & go", "AUTUMN26", "Ten per cent", "own", "LINE"):
        assert said in words
    links = [a.get("href") for a in root.iter("a")]
    for href in ("https://shop.example/a?b=1&c=2", "https://shop.example/sun", "https://shop.example/go", "https://line.me/x"):
        assert href in links
    picture = next(root.iter("img"))
    assert (picture.get("src"), picture.get("alt")) == (BASE + PICTURE, "A <low> sun") and picture.get("width") == "276"
    assert "<script" not in page and "onclick" not in page
    assert '<ol start="3"' in page and "[if mso" in page and "prefers-color-scheme" in page
    tables = [table for table in root.iter("table") if table.get("role") != "presentation"]
    assert tables == []


def test_in_dark_mode_nothing_is_lost_in_the_dark() -> None:
    page = rendered(
        mail(
            {"type": "button", "attrs": {"label": "x", "href": "https://a.example/", "background": "#1f2733"}},
            {"type": "coupon", "attrs": {"code": "A"}},
        )
    )
    root, dark = etree.HTML(page), page.split("prefers-color-scheme:dark)")[1]

    assert root.xpath("//td[@class='k-dim']//a") and ".k-dim table td{border:1px solid" in dark.replace(" !important", "")
    assert root.xpath("//div[@class='k-code']/strong") and root.xpath("//div[@class='k-footer']")
    assert contrast.ratio("#e8eaee", mjml_writer.DARK) > 12 and contrast.ratio("#aab2bf", "#14171c") > 7
    assert contrast.ratio("#000000", "#ffffff") == pytest.approx(21) and contrast.ratio("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )


def test_the_language_is_each_versions_own() -> None:
    assert re.search(r"<html[^>]* lang=\"en\"", rendered(EVERY_BLOCK)) and 'lang="und"' not in rendered(EVERY_BLOCK)


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (mail({"type": "script"}), "/body/content/0/content/0/content/0"),
        (mail({"type": "section", "content": []}), "/body/content/0/content/0/content/0"),
        (mail({"type": "button", "attrs": {"href": "javascript:alert(1)"}}), "/body/content/0/content/0/content/0/attrs/href"),
        (mail({"type": "button", "attrs": {"href": " JaVa\tscript:alert(1)"}}), "/body/content/0/content/0/content/0/attrs/href"),
        (mail({"type": "image", "attrs": {"src": "data:image/svg+xml,<svg/>"}}), "/body/content/0/content/0/content/0/attrs/src"),
        (mail({"type": "image", "attrs": {"src": "http://x/\"><script>"}}), "/body/content/0/content/0/content/0/attrs/src"),
        (mail({"type": "image", "attrs": {"width": "50"}}), "/body/content/0/content/0/content/0/attrs/width"),
        (mail({"type": "divider", "attrs": {"color": "red;url(//x)"}}), "/body/content/0/content/0/content/0/attrs/color"),
        (mail({"type": "heading", "attrs": {"level": True}}), "/body/content/0/content/0/content/0/attrs/level"),
        (mail(paragraph({"type": "mergeTag", "attrs": {"field": "x }}"}})), "/body/content/0/content/0/content/0/content/0/attrs/field"),
        (mail(paragraph(text("x", {"type": "evil"}))), "/body/content/0/content/0/content/0/content/0/marks/0"),
        (mail(paragraph({"type": "text", "text": ""})), "/body/content/0/content/0/content/0/content/0"),
        (mail({"type": "paragraph", "content": {"0": 1}}), "/body/content/0/content/0/content/0"),
        (mail(paragraph(text("x")), width=5_000), "/theme/width"),
        ({"version": 1, "body": {"type": "doc", "content": []}}, "/body"),
        ({"version": 2}, "/version"),
        ([], "/version"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_where_it_stands(found: Any, path: str) -> None:
    with pytest.raises(DocumentError) as refused:
        document.read(json.dumps(found))
    assert refused.value.path == path and str(refused.value)


def test_too_much_is_refused_with_a_sentence() -> None:
    many = mail(*[paragraph(text("x"))] * 5_000)
    with pytest.raises(DocumentError, match=r"nobody reads that far|too many"):
        document.checked(many)
    with pytest.raises(DocumentError, match="larger than 1 MB"):
        document.read(json.dumps(mail(paragraph(text("x" * 1_100_000)))))
    deep: dict[str, Any] = paragraph(text("x"))
    for _ in range(3_000):
        deep = {"type": "bulletList", "content": [{"type": "listItem", "content": [deep]}]}
    with pytest.raises(DocumentError, match=r"nested too deeply|cannot be read"):
        document.read('{"version":1,"body":' + '{"type":"doc","content":[' * 5_000 + "]}" * 5_000 + "}")
    with pytest.raises(DocumentError, match="nested too deeply"):
        document.checked(mail(deep))


def test_a_fallback_cannot_leave_its_field() -> None:
    evil = '" }}{% if member.email %}x{% endif %}{{ "'
    page = rendered(
        mail(paragraph({"type": "mergeTag", "attrs": {"field": "first_name", "fallback": evil}})),
        Recipient(1, 1, "a@b.example", "", "", "en", {}),
    )
    assert "a@b.example" not in page and "{%" not in page


ADA = Recipient(1, 1, "ada@example.org", "Ada", "Lovelace", "en", {"city": "Kyoto"})
NOBODY = Recipient(2, 2, "no@example.org", "", "", "en", {})


@pytest.mark.parametrize(
    ("asked", "value", "for_ada", "for_nobody"),
    [
        ("filled", "", True, False),
        ("empty", "", False, True),
        ("is", "Kyoto", True, False),
        ("is_not", "Kyoto", False, True),
        ("contains", "yot", True, False),
        ("is", '"x" & <y> {% endif %}', False, False),
    ],
)
def test_a_condition_decides_for_each_member(asked: str, value: str, for_ada: bool, for_nobody: bool) -> None:
    condition = {"field": "city", "is": asked, "value": value}
    block = {"type": "paragraph", "attrs": {"condition": condition}, "content": [text("A tram runs")]}
    found = mail(block, paragraph(text("For all")))
    for place in ("block", "section"):
        if place == "section":
            found["body"]["content"].append({"type": "section", "content": [{"type": "column", "content": [paragraph(text("Everybody"))]}]})
            found["body"]["content"][0]["attrs"] = {"condition": condition}
        for member, shown in ((ADA, for_ada), (NOBODY, for_nobody)):
            page = rendered(found, member)
            assert ("A tram runs" in page) is shown, (place, member.first_name)
            assert ("Everybody" if place == "section" else "For all") in page
            assert "{%" not in page and len(etree.HTML(page).findall(".//table")) > 0


def test_products_stand_in_rows_and_each_leads_where_it_should() -> None:
    items = [
        {"src": PICTURE, "alt": f"Tea {n}", "title": f"Tea & {n}", "price": f"{n} €", "href": f"https://shop.example/{n}"}
        for n in (1, 2, 3)
    ]
    found = mail(paragraph(text("x")))
    found["body"]["content"].append({"type": "products", "attrs": {"items": items, "columns": 2, "label": "Buy"}})

    root = etree.HTML(rendered(found))

    links = [a.get("href") for a in root.iter("a")]
    assert [links.count(f"https://shop.example/{n}") for n in (1, 2, 3)] == [2, 2, 2]  # the picture's and the button's
    assert [h.text for h in root.iter("h3")] == ["Tea & 1", "Tea & 2", "Tea & 3"]
    assert [(img.get("alt"), img.get("width")) for img in root.iter("img")][:3] == [(f"Tea {n}", "252") for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("attrs", "path"),
    [
        ({"items": [{"href": "javascript:x"}]}, "items"),
        ({"items": [{"onclick": "x"}]}, "items"),
        ({"items": [{}] * 25}, "items"),
        ({"columns": 4}, "columns"),
        ({"condition": {"field": "x }}", "is": "filled"}}, "condition"),
        ({"condition": {"field": "city", "is": "matches"}}, "condition"),
        ({"condition": {"field": "city", "is": "is", "value": 3}}, "condition"),
        ({"condition": "city"}, "condition"),
    ],
)
def test_products_and_conditions_that_cannot_be_are_refused(attrs: Any, path: str) -> None:
    with pytest.raises(DocumentError) as refused:
        document.checked({"version": 1, "body": {"type": "doc", "content": [{"type": "products", "attrs": attrs}]}})
    assert refused.value.path == f"/body/content/0/attrs/{path}"


# ---- properties

_words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
_href = st.sampled_from(["https://shop.example/", "https://shop.example/?a=1&b=<2>", "mailto:a@b.example", "tel:+8112345", ""])
_colours = st.sampled_from([None, "#000000", "#ABCDEF"])
_marks = st.lists(
    st.one_of(
        st.sampled_from(["bold", "italic", "underline", "strike"]).map(lambda name: {"type": name}),
        _href.map(lambda href: {"type": "link", "attrs": {"href": href}}),
        _colours.map(lambda colour: {"type": "textColor", "attrs": {"color": colour}}),
    ),
    max_size=3, unique_by=lambda mark: str(mark["type"]),
)  # fmt: skip
_inline = st.one_of(
    st.tuples(_words, _marks).map(lambda pair: text(pair[0], *pair[1])),
    st.just({"type": "hardBreak"}),
    _words.map(lambda said: {"type": "mergeTag", "attrs": {"field": "first_name", "fallback": said}}),
)
_align = st.sampled_from(["left", "center", "right"])
_paragraph = st.tuples(st.lists(_inline, max_size=4), _align).map(
    lambda pair: {"type": "paragraph", "attrs": {"textAlign": pair[1]}, "content": pair[0]}
)
_items = st.recursive(
    _paragraph,
    lambda inner: st.lists(inner, min_size=1, max_size=2).map(
        lambda parts: {"type": "bulletList", "content": [{"type": "listItem", "content": parts}]}
    ),
    max_leaves=4,
)
_block = st.one_of(
    _items,
    st.tuples(st.lists(_inline, max_size=3), st.sampled_from([1, 2, 3])).map(
        lambda pair: {"type": "heading", "attrs": {"level": pair[1]}, "content": pair[0]}
    ),
    st.lists(_paragraph, min_size=1, max_size=2).map(lambda parts: {"type": "blockquote", "content": parts}),
    st.tuples(_words, _href, st.integers(10, 100)).map(
        lambda made: {"type": "image", "attrs": {"src": PICTURE, "alt": made[0], "href": made[1], "width": made[2]}}
    ),
    st.tuples(_words, _href, _colours).map(
        lambda made: {"type": "button", "attrs": {"label": made[0], "href": made[1], "background": made[2]}}
    ),
    st.sampled_from([{"type": "divider"}, {"type": "spacer"}]),
    st.tuples(_words, _words).map(lambda made: {"type": "coupon", "attrs": {"code": made[0], "label": made[1]}}),
    _words.map(lambda said: {"type": "html", "attrs": {"html": said}}),
)
_columns = st.lists(st.lists(_block, min_size=1, max_size=3), min_size=1, max_size=3)
_section = st.tuples(_columns, _colours, st.sampled_from(["all", "phone", "desktop"]), st.booleans()).map(
    lambda made: {
        "type": "section",
        "attrs": {"background": made[1], "show": made[2], "stack": made[3]},
        "content": [{"type": "column", "attrs": {"width": 100 // len(made[0])}, "content": blocks} for blocks in made[0]],
    }
)
_condition = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(["first_name", "city"]), st.sampled_from(document.CONDITIONS), _words).map(
        lambda made: {"field": made[0], "is": made[1], "value": made[2]}
    ),
)
_products: st.SearchStrategy[Any] = st.tuples(st.lists(st.tuples(_words, _href), max_size=4), st.integers(1, 3), _words).map(
    lambda made: {
        "type": "products",
        "attrs": {"items": [{"title": t, "href": h, "src": PICTURE} for t, h in made[0]], "columns": made[1], "label": made[2]},
    }
)
_part: st.SearchStrategy[Any] = st.tuples(st.one_of(_section, _products), _condition).map(
    lambda made: dict(made[0], attrs=dict(made[0]["attrs"], condition=made[1]))  # type: ignore[call-overload]
)
DOCUMENTS = st.lists(_part, min_size=1, max_size=3).map(
    lambda parts: {"version": 1, "theme": {}, "body": {"type": "doc", "content": parts}}
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(DOCUMENTS)
def test_any_document_becomes_a_mail(found: dict[str, Any]) -> None:
    try:
        page = rendered(found)
    except ContentError as error:  # words that look like a merge field of their own are told to the author
        assert error.rule != "mjml", error.message
        return
    assert etree.HTML(page).find("body") is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(DOCUMENTS)
def test_what_is_kept_is_kept_as_it_is(found: dict[str, Any]) -> None:
    """The editor gets back what it saved: reading what was kept changes nothing more."""
    kept = document.checked(found)
    assert document.read(json.dumps(kept)) == kept


@settings(max_examples=30, deadline=None)
@given(_words, _words)
def test_any_name_leaves_the_mails_structure_as_it_is(first: str, last: str) -> None:
    plain = rendered(EVERY_BLOCK)
    named = rendered(EVERY_BLOCK, Recipient(1, 1, "ada@example.org", first, last, "en", {}))

    def shape(page: str) -> list[str]:
        return [str(element.tag) for element in etree.HTML(page).iter()]

    assert shape(named) == shape(plain)


# ---- other kinds


def test_markdown_keeps_its_merge_fields_and_shows_no_html() -> None:
    made = kinds.as_html(
        "markdown",
        '# Hi {{ member.first_name | default: "you" }}\n\n<script>x</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n',
        picture_base=BASE,
    )
    source = replace(SOURCE, html=made, text=None)
    page = compiler.preview(source, Recipient(1, 1, "a@b.example", "Ada", "", "en", {}), "en")
    assert "Hi Ada" in page and "&lt;script&gt;" in page and "<td" in page


def test_mjml_that_would_load_or_kill_is_refused() -> None:
    for source in (
        "<mjml><mj-include path='x'/></mjml>",
        "<html/>",
        "<mjml",
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><mjml>&a;</mjml>',
    ):
        with pytest.raises(ContentError):
            kinds.as_html("mjml", source, picture_base=BASE)
    with pytest.raises(ContentError):
        mjml_writer.checked("<mjml>" + "<mj-section>" * 200 + "</mj-section>" * 200 + "</mjml>")
