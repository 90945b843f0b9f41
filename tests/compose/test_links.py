"""Every position of a link has its number, kind and label."""

from mailer.compose.compiler import LinkPosition, compile_source
from tests.compose.builders import html_of, source, text_of

HTML = """<a href="https://x.example/1">First <b>offer</b></a>
<a href="https://x.example/1"><img src="https://x.example/i.png" alt="A cup"></a>
<a href="https://x.example/1"><img src="https://x.example/i.png" alt="">with words</a>
<a href="https://x.example/2"><img src="https://x.example/i.png"></a>
<a href="mailto:a@example.org">mail</a> <a href="tel:+81">call</a> <a href="#top">up</a> <a href="ftp://x.example/">ftp</a>
<a href="https://x.example/3?n={{ member.first_name }}&amp;a=1"></a>
<a href="{{ unsubscribe_url }}">stop</a> <a href="{{ view_url }}">view</a> <a href="http://">broken</a>"""


def test_positions_are_numbered_in_document_order() -> None:
    assert compile_source(source(HTML)).links == [
        LinkPosition(1, "text", "First offer", "https://x.example/1"),
        LinkPosition(2, "image", "A cup", "https://x.example/1"),
        LinkPosition(3, "text", "with words", "https://x.example/1"),
        LinkPosition(4, "image", "https://x.example/2", "https://x.example/2"),
        LinkPosition(5, "text", "https://x.example/3?n={{ member.first_name }}&a=1", "https://x.example/3?n={{ member.first_name }}&a=1"),
    ]


def test_numbers_go_on_after_those_of_an_earlier_revision() -> None:
    compiled = compile_source(source(HTML, first_link=40))

    assert [link.number for link in compiled.links] == [40, 41, 42, 43, 44]
    assert f"/c/{'T' * 36}/40" in html_of(source(HTML, first_link=40))


def test_the_text_part_uses_the_number_of_the_html_position() -> None:
    text = text_of(source(HTML))

    assert f"First offer <https://m.example/c/{'T' * 36}/1>" in text
    assert f"A cup <https://m.example/c/{'T' * 36}/2>" in text


def test_an_authors_own_text_is_tracked_by_the_address_it_repeats() -> None:
    text = text_of(
        source(HTML, text="Go to https://x.example/2, or (https://x.example/other).\nhttps://x.example/3?n={{ member.first_name }}")
    )

    assert f"Go to https://m.example/c/{'T' * 36}/4, or (https://x.example/other)." in text
    assert "https://x.example/3?n=Taro" in text


def test_links_of_a_text_mail_are_numbered() -> None:
    links = compile_source(source(None, text="One https://x.example/1.\n「https://x.example/2」を見る https://x.example/1")).links

    assert [(link.number, link.url) for link in links] == [
        (1, "https://x.example/1"),
        (2, "https://x.example/2"),
        (3, "https://x.example/1"),
    ]


def test_a_mail_keeps_no_link_ids() -> None:
    assert "data-lid" not in html_of(source(HTML))
