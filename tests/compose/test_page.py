"""Author's HTML becomes a mail that is safe, inlined and fetches nothing."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from mailer.compose.compiler import ContentError, compile_source
from tests.compose.builders import TARO, html_of, mail, recipient, source, text_of

_WATCHED: list[tuple[str, str]] | None = None
_PACKAGES = tuple(os.path.realpath(path) for path in (*sys.path, sys.prefix, sys.base_prefix) if path)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHED is None:
        return
    if event == "open" and not os.path.realpath(str(arguments[0])).startswith(_PACKAGES):
        _WATCHED.append((event, str(arguments[0])))
    elif event in ("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen"):
        _WATCHED.append((event, str(arguments[-1])))


sys.addaudithook(_watch)


@pytest.fixture
def opened() -> Any:
    """What is opened or reached for while the test runs, outside of Python's own packages."""
    global _WATCHED
    _WATCHED = []
    yield _WATCHED
    _WATCHED = None


def test_compiling_opens_no_file_and_no_socket(opened: list[tuple[str, str]], tmp_path: Path) -> None:
    secret = tmp_path / "secret.css"
    secret.touch()
    opened.clear()
    html = f"""<!DOCTYPE html SYSTEM "file://{secret}"><html><head><link rel="stylesheet" href="http://127.0.0.1:9/a.css">
    <link rel=stylesheet href="file://{secret}"><base href="http://127.0.0.1:9/">
    <style>@import url(http://127.0.0.1:9/b.css); @import "file://{secret}"; @import url("{secret}");
    @IMP\\4frt url(http://127.0.0.1:9/c.css); @media screen {{ @import url(http://127.0.0.1:9/d.css); }}
    @font-face {{ src: url(file://{secret}) }} p {{ background: url(file://{secret}); color: red }}</style>
    <style media="screen">@import url(//127.0.0.1:9/e.css);</style></head>
    <body background="file://{secret}"><p style="@import url(http://127.0.0.1:9/f.css);background:url('file://{secret}')">x</p>
    <iframe src="http://127.0.0.1:9/"></iframe><img src="file://{secret}"><object data="http://127.0.0.1:9/"></object></body></html>"""

    written = html_of(source(html))

    assert opened == []
    assert str(secret) not in written and "@import" not in written.lower() and "127.0.0.1" not in written
    assert "color:red" in written.replace(" ", "")


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="JaVa\tScript:alert(1)">x</a>',
        '<a href="&#106;avascript:alert(1)">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        '<a href="vbscript:x">x</a>',
        '<svg onload="alert(1)"><script>alert(1)</script></svg>',
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        '<form action="https://x.example/"><input name=a><button>go</button></form>',
        '<meta http-equiv="refresh" content="0;url=https://x.example">',
        '<base href="https://x.example/">',
        '<p style="width:expression(alert(1))">x</p>',
        '<p style="background:url(javascript:alert(1))">x</p>',
        '<style>p{content:"\\3c/style\\3e\\3cscript\\3e alert(1)"}</style><p>x</p>',
        "<math><a xlink:href='javascript:alert(1)'>x</a></math>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
        "<textarea><script>alert(1)</script></textarea>",
        '<img srcset="javascript:alert(1) 2x">',
        "<object data='x.swf'></object><embed src='x.swf'>",
    ],
)
def test_what_runs_or_asks_is_taken_out(html: str) -> None:
    written = html_of(source(f"<p>before</p>{html}<p>after</p>"))

    root = etree.fromstring(written, etree.HTMLParser())
    names = {str(element.tag) for element in root.iter(etree.Element)}
    attributes = [(str(name), str(value)) for element in root.iter(etree.Element) for name, value in element.attrib.items()]
    assert not names & {"script", "iframe", "form", "input", "button", "svg", "math", "object", "embed", "base", "link", "textarea"}
    assert not any(name.startswith("on") or name == "srcdoc" for name, _value in attributes)
    assert not any("script:" in value.lower() or "data:" in value or "expression" in value for _name, value in attributes)
    assert "refresh" not in written and "before" in written and "after" in written


def test_css_is_inlined_and_stays_for_dark_mode_and_phones() -> None:
    css = "<style>.b{color:red} a:hover{color:blue} @media (prefers-color-scheme:dark){.b{color:#fff !important}}</style>"

    written = html_of(source(f'{css}<p class="b">x</p>'))

    assert '<p class="b" style="color:red">x</p>' in written
    assert "a:hover{color:blue}" in written
    assert "@media (prefers-color-scheme:dark){.b{color:#fff !important}}" in written


def test_a_selector_that_lxml_does_not_know_stays_in_the_sheet() -> None:
    written = html_of(
        source("<style>p:is(.a,.b) > b{color:red} a::before{color:red} u + .body .x{color:blue} [x|y]{color:red}</style><p>x</p>")
    )

    assert "u + .body .x{color:blue}" in written


def test_comments_for_outlook_stay_and_others_go() -> None:
    html = "<!-- note to self --><!--[if mso]><b>{{ member.first_name }}</b><![endif]--><!--[if !mso]><!--><i>x</i><!--<![endif]-->"

    written = html_of(source(html), recipient(first_name="--><script>"))

    assert "<!--[if mso]><b>--&gt;&lt;script&gt;</b><![endif]--><!--[if !mso]><!--><i>x</i><!--<![endif]-->" in written
    assert "note to self" not in written


@pytest.mark.parametrize("html", ["<p>" + "x" * 1_000_001 + "</p>", "<div>" * 300 + "x", "<b>" * 100_000])
def test_huge_and_deep_content_is_refused(html: str) -> None:
    with pytest.raises(ContentError) as caught:
        compile_source(source(html))

    assert caught.value.rule in ("too_large", "too_deep")


def test_the_language_is_declared_unless_the_author_did() -> None:
    assert '<html lang="ja">' in html_of(source("<p>x</p>"), language="ja")
    assert '<html lang="fr">' in html_of(source('<html lang="fr"><body>x</body></html>'), language="ja")


def test_a_page_in_another_charset_is_declared_as_what_it_is_sent_in() -> None:
    head = '<head><meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"></head>'

    written = html_of(source(f"<html>{head}<body>日本</body></html>"))

    assert "Shift_JIS" not in written and '<meta charset="utf-8">' in written and "日本" in written


def test_the_preheader_is_hidden_at_the_top_and_not_in_the_text_part() -> None:
    campaign = source("<p>Hello</p>", preheader="For {{ member.first_name }} & you")

    assert html_of(campaign).partition("For Taro &amp; you")[0].endswith('mso-hide:all">')
    assert "For Taro" not in text_of(campaign)


def test_only_the_html_format_tracks() -> None:
    campaign = source('<p>x <a href="https://x.example/1">one</a></p>')

    html = html_of(campaign)
    plain, text = (mail(campaign, TARO, format_).as_string() for format_ in ("plain", "text"))

    assert f"https://m.example/o/{'T' * 36}.gif" in html and f'href="https://m.example/c/{"T" * 36}/1"' in html
    assert "TTTT" not in plain + text
    assert "/o/" not in plain + text and "/c/" not in plain + text


def test_a_campaign_that_records_nothing_tracks_nobody() -> None:
    campaign = source('<a href="https://x.example/1">one</a>', record_opens=False, record_clicks=False)

    assert "TTTT" not in mail(campaign).as_string()


def test_html_and_plain_are_alternatives_and_text_stands_alone() -> None:
    campaign = source()

    kinds = {format_: [item.get_content_type() for item in mail(campaign, TARO, format_).walk()] for format_ in ("html", "plain", "text")}

    assert kinds["html"] == kinds["plain"] == ["multipart/alternative", "text/plain", "text/html"]
    assert kinds["text"] == ["text/plain"]


def test_a_mail_without_html_is_text_in_every_format() -> None:
    campaign = source(None, text="See https://x.example/1.")

    assert mail(campaign).get_content_type() == "text/plain"
    assert f"See https://m.example/c/{'T' * 36}/1." in text_of(campaign)
    assert "See https://x.example/1." in text_of(campaign, TARO, "text")
