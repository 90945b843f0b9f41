"""What a mail asks of mail programs that do not have it is told before it goes out; what we write asks nothing of the kind."""

import json

import pytest
from lxml import etree

from kairan import i18n
from mailer.compose import client_support, content_check, kinds, page, starters
from tests.compose.builders import source


def told(html: str) -> dict[str, tuple[str, ...]]:
    return {found.feature: found.programs for found in client_support.check(page.read(source(html)).root)}


@pytest.mark.parametrize(
    ("html", "feature", "program"),
    [
        ('<div style="display:flex"><p>a</p></div>', "css-display-flex", "outlook-windows"),
        ("<style>.a{display:grid}</style><p class=a>a</p>", "css-display-grid", "outlook-windows"),
        ('<div style="position:absolute">a</div>', "css-position", "gmail"),
        ('<td style="background-image:url(https://a.example/x.png)">a</td>', "css-background-image", "outlook-windows"),
        ('<p style="color:var(--accent)">a</p>', "css-variables", "outlook-windows"),
        ('<img src="https://a.example/x.webp" alt="">', "image-webp", "outlook-windows"),
        ('<img src="https://a.example/x.svg?v=1" alt="">', "image-svg", "gmail"),
    ],
)
def test_what_a_program_does_not_show_is_told(html: str, feature: str, program: str) -> None:
    assert program in told(html)[feature]


@pytest.mark.parametrize(
    "html",
    [
        '<p style="border-radius:8px;box-shadow:0 0 3px #000;max-width:100vw">a</p>',
        "<style>@media (min-width:480px){.a{display:flex}}</style><p class=a>a</p>",
        '<img src="https://a.example/x.png" alt=""><img src="https://a.example/webp.jpg" alt="">',
    ],
)
def test_what_only_adds_something_is_no_finding(html: str) -> None:
    assert told(html) == {}


def test_the_pre_flight_check_names_the_programs() -> None:
    findings = [each for each in content_check.check(source('<div style="display:flex">a</div>')) if each.rule == "client_support"]

    assert len(findings) == 1 and "Outlook (Windows)" in findings[0].message and "display:flex" in findings[0].message


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("name", list(starters.BLOCKS))
def test_every_starter_is_shown_by_every_program(name: str, language: str) -> None:
    with i18n.speaking(language):
        begun = starters.start(name, "Aoba Club")
    made = kinds.as_html(begun.kind, begun.content, picture_base="https://m.example")

    assert client_support.check(page.read(source(made)).root) == []


def test_every_block_is_shown_by_every_program() -> None:
    from tests.compose.test_document import EVERY_BLOCK, PICTURE

    products = {"type": "products", "attrs": {"items": [{"src": PICTURE, "title": "Tea", "href": "https://a.example/"}], "label": "Buy"}}
    found = {**EVERY_BLOCK, "body": {"type": "doc", "content": [*EVERY_BLOCK["body"]["content"], products]}}

    assert told(kinds.as_html("document", json.dumps(found), picture_base="https://m.example") or "") == {}


def test_the_check_reads_what_is_broken_too() -> None:
    root = etree.HTML("<style>{{{ a:b; @x</style><p style='display:;;:flex;position'>a</p>")
    assert client_support.check(root) == []
