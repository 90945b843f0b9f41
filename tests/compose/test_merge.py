"""The merge language: what it says, and what it refuses."""

import pytest

from mailer.compose.compiler import ContentError, MergeError, compile_source, resolve
from tests.compose.builders import html_of, recipient, source, text_of


def _shown(template: str, **attributes: object) -> str:
    """The template as a text mail shows it."""
    wrapped = source(None, text=f"[{template}] {{{{ unsubscribe_url }}}}")
    return text_of(wrapped, recipient(attributes=attributes)).partition("[")[2].partition("]")[0]


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{ member.first_name }}", "Taro"),
        ("{{ member.name }}", "Taro Yamada"),
        ("{{ member.email }}", "taro@example.org"),
        ("{{ member.city | default: 'nowhere' }}", "nowhere"),
        ("{{ member.attributes.city | default: 'nowhere' | upcase }}", "NOWHERE"),
        ("{{ member.last_name | downcase | capitalize }}", "Yamada"),
        ("{{ member.last_name | truncate: 5 }}", "Ya..."),
        ("{{ campaign.name }}", "Spring & sale"),
        ("{{ organisation.address }}", "1-2-3 Kyoto"),
        ("{{ 'fixed' }}", "fixed"),
        ("{% comment %}not shown{% endcomment %}", ""),
    ],
)
def test_a_field_shows_its_value(template: str, shown: str) -> None:
    assert _shown(template) == shown


@pytest.mark.parametrize(
    ("condition", "attributes", "holds"),
    [
        ("member.city", {"city": "Kyoto"}, True),
        ("member.city", {"city": ""}, False),
        ("member.city", {}, False),
        ("member.vip", {"vip": False}, False),
        ("member.vip == true", {"vip": "true"}, True),
        ("member.city == 'Kyoto'", {"city": "Kyoto"}, True),
        ("member.city != 'Kyoto'", {"city": "Nara"}, True),
        ("member.city contains 'yo'", {"city": "Kyoto"}, True),
        ("member.city contains 'yo'", {"city": ["yo", "x"]}, True),
        ("member.points > 100", {"points": 120}, True),
        ("member.points > 100", {"points": "99"}, False),
        ("member.points == 120", {"points": "120"}, True),
        ("member.city == blank", {}, True),
        ("member.city and member.vip", {"city": "x"}, False),
        ("member.city or member.vip", {"city": "x"}, True),
        ("member.city == 'x' and member.points > 1 or member.vip", {"city": "x", "vip": True}, True),
    ],
)
def test_a_condition_chooses(condition: str, attributes: dict[str, object], holds: bool) -> None:
    assert _shown(f"{{% if {condition} %}}yes{{% else %}}no{{% endif %}}", **attributes) == ("yes" if holds else "no")


@pytest.mark.parametrize(("city", "shown"), [("Kyoto", "old"), ("Tokyo", "new"), ("Nara", "else")])
def test_elsif_and_nesting_choose(city: str, shown: str) -> None:
    first = "{% if member.city == 'Kyoto' %}{% unless member.vip %}old{% endunless %}"

    assert _shown(first + "{% elsif member.city == 'Tokyo' %}new{% else %}else{% endif %}", city=city) == shown


@pytest.mark.parametrize(
    ("html", "rule", "field", "line"),
    [
        ("<p>\n{{ member.nickname }}</p>", "unknown_field", "member.nickname", 2),
        ("{{ member.__class__ }}", "unknown_field", "member.__class__", 1),
        ("{{ request.host }}", "unknown_field", "request.host", 1),
        ("{{ member.city | money }}", "unknown_filter", "money", 1),
        ("{{ member.city | truncate: member.points }}", "filter", "truncate", 1),
        ("{{ member.city | default }}", "filter", "default", 1),
        ("{{ member.city", "syntax", "", 1),
        ("{% if member.city %}x", "syntax", "", None),
        ("{% for x in member.city %}x{% endfor %}", "loop", "for", 1),
        ("{% assign x = 1 %}", "loop", "assign", 1),
        ('<a href="{{ member.city }}">x</a>', "field_in_address", "member.attributes.city", None),
        ('<a href="https://{{ member.city }}.example/">x</a>', "field_in_address", "member.attributes.city", None),
        ('<img src="{{ member.city }}">', "field_in_address", "member.attributes.city", None),
        ('<p style="color:{{ member.city }}">x</p>', "field_place", "member.attributes.city", None),
        ("<style>p{color:{{ member.city }}}</style>", "field_place", "member.attributes.city", None),
        ("<p {{ member.city }}>x</p>", "field_place", "member.attributes.city", None),
        ("<{{ member.city }}>x</p>", "field_place", "member.attributes.city", None),
        ('<p onclick="{{ member.city }}">x</p>', "field_place", "member.attributes.city", None),
        ('<a href="https://x.example/?u={{ unsubscribe_url }}">x</a>', "own_address", "unsubscribe_url", None),
        ('<img src="{{ view_url }}">', "own_address", "view_url", None),
        ("{% if member.city %}<div>{% endif %}</div>", "condition_place", "", None),
        ("<p {% if member.city %}class='x'{% endif %}>x</p>", "condition_place", "", None),
        ('<a href="https://x.example/{% if member.city %}a{% endif %}">x</a>', "condition_place", "", None),
    ],
)
def test_what_cannot_be_compiled_is_named(html: str, rule: str, field: str, line: int | None) -> None:
    with pytest.raises(MergeError) as caught:
        compile_source(source(html))

    assert (caught.value.rule, caught.value.field, caught.value.line) == (rule, field, line)


def test_a_field_of_the_subject_is_checked_as_well() -> None:
    with pytest.raises(MergeError) as caught:
        compile_source(source(subject="Hi {{ member.nickname }}"))

    assert caught.value.where == "subject:1"


def test_an_empty_subject_and_an_empty_content_are_refused() -> None:
    for wrong in (source(subject="  "), source("  "), source(None)):
        with pytest.raises(ContentError):
            compile_source(wrong)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(MergeError):
        compile_source(source("{% if member.city %}" * 500 + "x" + "{% endif %}" * 500))


def test_tags_that_an_editor_has_escaped_are_understood() -> None:
    html = html_of(source('<p>{{ member.city | default: &quot;a &amp; b&quot; }}</p><a href="%7B%7B%20unsubscribe_url%20%7D%7D">stop</a>'))

    assert "<p>Kyoto</p>" in html
    assert f'<a href="https://m.example/u/{"A" * 36}">stop</a>' in html


def test_the_context_of_a_field_decides_its_escaping() -> None:
    member = recipient(first_name="<a b>&\"'")

    html = html_of(source('<p title="{{ member.first_name }}">{{ member.first_name }}</p>'), member)

    assert '<p title="&lt;a b&gt;&amp;&quot;&#x27;">&lt;a b&gt;&amp;&quot;&#x27;</p>' in html


def test_conditions_between_table_rows_keep_the_table_whole() -> None:
    table = "<table><tr><td>first</td></tr>{% if member.vip %}<tr><td>vip</td></tr>{% endif %}<tr><td>last</td></tr></table>"

    assert "<tr><td>first</td></tr><tr><td>vip</td></tr><tr><td>last</td></tr>" in html_of(source(table))
    assert "<tr><td>first</td></tr><tr><td>last</td></tr>" in html_of(source(table), recipient(attributes={}))


def test_the_subject_can_stand_in_the_content() -> None:
    written = html_of(source("<title>{{ campaign.subject }}</title><p>x</p>", subject="A & {{ member.first_name }}"))

    assert "<title>A &amp; Taro</title>" in written


def test_a_link_with_fields_is_resolved_at_the_click() -> None:
    url = "https://x.example/{{ member.first_name | default: 'x' }}?c={{ member.attributes.city }}"

    assert (
        resolve(url, recipient(first_name="a/b ?", attributes={"city": "京"}), frozenset({"city"}))
        == "https://x.example/a%2Fb%20%3F?c=%E4%BA%AC"
    )
