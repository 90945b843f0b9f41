"""The preview shows the mail that will be sent; the check says what is unwise in it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.compose.compiler import Source, preview
from mailer.compose.content_check import check
from mailer.compose.recipient import Recipient
from tests.compose.builders import TARO, html_of, recipient, source

GOOD = """<html><body><p>Dear {{ member.first_name | default: "friend" }},</p>
<p><a href="https://shop.example/new">See what is new</a></p><img src="https://shop.example/i.png" alt="Cup" width="200"></body></html>"""
DARK = "<style>@media (prefers-color-scheme: dark) { p { color: #fff !important } }</style><p>x</p>"


def _rules(of: Source, level: str = "warning") -> set[str]:
    return {finding.rule for finding in check(of) if finding.level == level}


def test_a_preview_is_the_mail_without_tracking() -> None:
    campaign = source(GOOD, preheader="News")

    shown = preview(campaign, TARO, "en")

    assert "Dear Taro," in shown and '<a href="https://shop.example/new">' in shown
    assert "/o/" not in shown and "/c/" not in shown and "/u/" not in shown
    sent = html_of(campaign, format_="plain")
    assert (
        shown.strip()
        == sent.replace(f"https://m.example/u/{'A' * 36}", "#")
        .replace(f"https://m.example/p/{'A' * 36}", "#")
        .replace("https://m.example/about/tracking", "#")
        .strip()
    )


def test_a_preview_for_the_click_map_names_each_position() -> None:
    assert '<a href="https://shop.example/new" data-lid="1">' in preview(source(GOOD), TARO, "en", link_ids=True)


def test_dark_mode_is_switched_on_and_off() -> None:
    assert "@media (min-width:0)" in preview(source(DARK), TARO, "en", dark=True)
    assert "@media (max-width:0)" in preview(source(DARK), TARO, "en", dark=False)
    assert "prefers-color-scheme: dark" in preview(source(DARK), TARO, "en")


def test_the_text_is_previewed_as_a_page_of_its_own() -> None:
    shown = preview(source(GOOD), recipient(first_name="<b>"), "ja", text=True)

    assert '<html lang="ja">' in shown and "Dear &lt;b&gt;," in shown and "See what is new &lt;https://shop.example/new&gt;" in shown


OWN = ("unsubscribe_url", "preferences_url", "view_url", "tracking_info_url")
PIECES = [
    "<p>Hello {{ member.first_name | default: 'reader' }}</p>",
    "<p>{{ member.email }} {{ member.name }} {{ member.city }}</p>",
    "<p><a href='https://shop.example/?m={{ member.email }}&c={{ member.city }}'>Shop</a></p>",
    "{% if member.vip %}<p>For you alone: {{ member.email }} <a href='{{ unsubscribe_url }}'>Stop</a></p>{% endif %}",
    "{% unless member.vip %}<p>For all <a href='{{ preferences_url }}'>Choose</a></p>{% endunless %}",
    *(f"<p><a href='{{{{ {name} }}}}'>Ours</a></p>" for name in OWN),
    *(f"<p>Ours: {{{{ {name} }}}}</p>" for name in OWN),
    "<!--[if mso]><a href='{{ unsubscribe_url }}'>Stop</a><![endif]-->",
    "<map name='m'><area href='{{ unsubscribe_url }}' shape='rect' coords='0,0,1,1' alt='Stop'></map>",
]
NOBODY = Recipient(0, 0, "", "", "", "", {})


@settings(max_examples=120, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), text=st.booleans(), language=st.sampled_from(["en", "ja"]))
def test_a_mail_for_nobody_has_no_way_to_anybodys_choices(pieces: list[str], text: bool, language: str) -> None:
    written = "".join(pieces)
    shown = preview(source(written, preheader="{{ member.email }}"), NOBODY, language, text=text, own_links=False)

    assert not re.search(r"/(?:u|p|v|c|o)/|/about/tracking|\{\{|\{%|https://m\.example", shown)
    assert 'href="#"' not in shown and "taro@" not in shown and "For you alone" not in shown
    assert ("Shop" in shown) == ("Shop" in written)
    if "unsubscribe_url" not in written:
        assert "Hanaya &amp; Co" in shown and "1-2-3 Kyoto" in shown


def test_a_text_mail_for_nobody_keeps_its_sender_and_loses_the_opt_out() -> None:
    shown = preview(source(None, text="Hello {{ member.first_name }}\n{{ view_url }}"), NOBODY, "en", own_links=False)

    assert "Hello \n" in shown and "Hanaya &amp; Co" in shown and "Unsubscribe" not in shown and "https://m.example" not in shown


def test_a_good_mail_has_no_findings() -> None:
    assert check(source(GOOD, preheader="What is new")) == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"html": "{{ member.nickname }}"}, "unknown_field"),
        ({"html": "{% if %}x{% endif %}"}, "syntax"),
        ({"subject": " "}, "empty_subject"),
        ({"html": None}, "empty"),
        ({"from_email": "nobody"}, "invalid_address"),
        ({"preheader": "{{ member.nickname }}"}, "unknown_field"),
        ({"text": "{{ member.nickname }}"}, "unknown_field"),
    ],
)
def test_what_keeps_content_from_becoming_a_mail_is_an_error(changes: dict[str, str | None], rule: str) -> None:
    assert rule in _rules(source(**{"html": GOOD, **changes}), "error")


def test_an_author_sees_all_errors_at_once() -> None:
    findings = check(source("{{ member.a }}", subject="", from_email="x", text="{{ member.b }}"))

    assert {finding.where.partition(":")[0] for finding in findings if finding.level == "error"} == {
        "content",
        "subject",
        "from_email",
        "text",
    }


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"html": '<img src="https://x.example/i.png" width="9">'}, "no_alt"),
        ({"html": '<img src="https://x.example/i.png" alt="x">'}, "no_width"),
        ({"html": '<img src="http://x.example/i.png" alt="x" width="9">'}, "insecure_image"),
        ({"html": '<img src="i.png" alt="x" width="9">'}, "no_image"),
        ({"html": "<p>{{ member.first_name }}</p>"}, "no_fallback"),
        ({"subject": "Hi {{ member.first_name }}"}, "no_fallback"),
        ({"html": '<a href="shop">x</a>'}, "bad_link"),
        ({"html": '<a href="https://evil.example/">https://bank.example/login</a>'}, "other_address_shown"),
        ({"html": '<a href="">x</a>'}, "empty_link"),
        ({"html": '<a href="https://x.example/"></a>'}, "empty_link"),
        ({"subject": "x" * 61}, "long_subject"),
        ({"subject": "BUY NOW OR NEVER"}, "shouting"),
        ({"subject": "Sale!!"}, "shouting"),
        ({"preheader": ""}, "no_preheader"),
        ({"html": "<p>" + "word " * 22_000 + "</p>"}, "too_long"),
        ({"html": '<img src="https://x.example/i.png" alt="x" width="9">'}, "no_text"),
        ({"html": "<p>Lorem ipsum dolor</p>"}, "placeholder"),
        ({"subject": "TODO"}, "placeholder"),
        ({"html": "<p>no link</p>"}, "no_links"),
        ({"html": "<script>x</script><p>x</p>"}, "removed"),
        ({"html": '<a href="{{ unsubscribe_url }}">stop</a>'}, "footer_incomplete"),
        ({"from_name": ""}, "no_from_name"),
    ],
)
def test_what_is_unwise_is_a_warning(changes: dict[str, str], rule: str) -> None:
    assert rule in _rules(source(**{"html": GOOD, "preheader": "x", **changes}))


@pytest.mark.parametrize(
    "html",
    [
        "{% if member.city %}{{ member.city }}{% endif %}",
        "{% if member.city and member.vip %}{{ member.city }}{% endif %}",
        "{{ member.email }}",
        '<a href="https://www.shop.example/x">shop.example</a>',
    ],
)
def test_what_is_in_order_is_not_warned_of(html: str) -> None:
    assert not _rules(source(f"{GOOD}{html}", preheader="x"))
