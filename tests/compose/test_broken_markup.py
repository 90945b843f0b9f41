"""However an author's markup is broken, it is refused or a member's value stays where it was put."""

from email import message_from_bytes
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mailer.compose.compiler import ContentError, compile_source
from mailer.compose.content_check import check
from tests.compose.builders import MARKS, html_of, part, recipient, source

HOSTILE = "\"'><img src=x onerror=alert(1)> --> </title></style></textarea><b x=y>"
PIECES = """<p>|</p>|<div title='|'>|"|>|<a href="https://x.example/|<a href=https://x.example/?q=|<a href='https://x.example/#|</a>|text|=|'|`|/
{{ member.first_name }}|{{ member.city }}|{% if member.city %}|{% else %}|{% endif %}|{{ unsubscribe_url }}|<a href='{{ unsubscribe_url }}'>
<!--|-->|<!-->|--!>|<!--[if mso]>|<![endif]-->|<style>|</style>|p{color:red}|<title>|</title>|<textarea>|</textarea>|<xmp>|<plaintext>
<table>|<tr>|<td>|</table>|<script>|</script>|&|<|</|<!|<!doctype html>|<html>|<body>|</body>|<head>|</head>|<frameset>|<template>
<img alt=|<img src='https://x.example/|<br/>|<p |style=|<svg>|<math>|<select>|<noscript>|&#0;|<![CDATA[|]]>|<?php |?>
<a title="a>b" |<ul>|<li>
<form>|</form>|<iframe>|</iframe>""".replace("\n", "|").split("|")


def _shape(html: str) -> list[tuple[Any, list[str]]]:
    root = etree.fromstring(html, etree.HTMLParser())
    return [(element.tag, sorted(map(str, element.attrib))) for element in root.iter(etree.Element)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join))
def test_a_value_never_leaves_its_place(html: str) -> None:
    campaign = source(html)
    findings = check(campaign)
    try:
        made = compile_source(campaign).programs["html", "en"]
    except ContentError as error:
        assert error.rule in {finding.rule for finding in findings if finding.level == "error"}
        return

    quiet = part(message_from_bytes(made.splice(recipient(first_name="Taro", attributes={"city": "Kyoto"}), MARKS)), "text/html")
    loud = part(message_from_bytes(made.splice(recipient(first_name=HOSTILE, attributes={"city": HOSTILE}), MARKS)), "text/html")
    assert _shape(loud) == _shape(quiet)
    assert "<img src=x" not in loud
    assert f"/u/{'A' * 36}" in loud


@pytest.mark.parametrize("html", ["<html>", "<html></head></body>", "<frameset><frame src=x></frameset>x", "x"])
def test_a_page_without_head_or_body_gets_them(html: str) -> None:
    assert '<head><meta charset="utf-8"></head><body>' in html_of(source(html))


@pytest.mark.parametrize(
    "html",
    [
        "{{" * 100_000,
        "{{ x " * 50_000,
        "{% if member.city %}" * 20_000,
        "{% raw %}" * 20_000,
        "<style>p{a:" + "(" * 50_000 + "</style>",
        "<p style='a:" + "[" * 3_000 + "'>x",
        "<style>" + "a " * 5_000 + "{color:red}</style><a>x</a>",
        "<p " + " ".join(f"a{number}=1" for number in range(300)) + ">x",
    ],
)
def test_what_would_hold_a_worker_for_minutes_is_refused(html: str) -> None:
    with pytest.raises(ContentError):
        compile_source(source(html))
