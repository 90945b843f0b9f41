"""Headers and footer: what the law and the mailbox providers ask of every mail."""

from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest

from mailer.compose.compiler import ContentError, Organisation, compile_source
from mailer.compose.mail_headers import mailbox, unstructured
from tests.compose.builders import MARKS, TARO, html_of, mail, program, source, text_of
from unsubscribe.headers import token_in_subject

ACT = "A" * 36


def test_the_headers_of_a_mail() -> None:
    message = mail(source(from_name="花屋", reply_to="reply@shop.example", unsubscribe_mailto="stop@in.example"))

    assert message.keys() == [
        "From", "Reply-To", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post",
        "List-ID", "Feedback-ID", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert str(make_header(decode_header(parseaddr(message["From"])[0]))) == "花屋"
    assert message["To"] == "Taro Yamada <taro@example.org>"
    assert message["Reply-To"] == "reply@shop.example"
    assert message["Message-ID"] == "<0123456789abcdef0123456789abcdef@example.org>"
    assert message["Date"] == "Tue, 24 Nov 2026 09:00:00 +0000"
    assert message["List-Unsubscribe"] == f"<https://m.example/u/{ACT}>, <mailto:stop@in.example?subject=unsubscribe%20{ACT}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-ID"] == "News <news.3.example.org>"
    assert message["Feedback-ID"] == "7:news:campaign:exampleorg"


def test_list_unsubscribe_is_one_line() -> None:
    wire = program(source(unsubscribe_mailto="stop@in.example", base_url="https://a-rather-long-host-name.marketing.example")).splice(
        TARO, MARKS
    )

    line = next(line for line in wire.split(b"\r\n") if line.startswith(b"List-Unsubscribe:"))
    assert line.endswith(f"unsubscribe%20{ACT}>".encode())


def test_the_token_is_found_in_the_subject_of_an_opt_out_by_mail() -> None:
    assert token_in_subject(f"unsubscribe {ACT}") == ACT
    assert token_in_subject(f"Re: Unsubscribe {ACT}") == ACT
    assert token_in_subject("Hello") is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("a\r\nBcc: x@example.org", "a Bcc: x@example.org"),
        ("=?utf-8?q?a=0D=0AX:_y?=", "= ?utf-8?q?a=0D=0AX:_y?="),
        ("あ", "=?utf-8?b?44GC?="),
    ],
)
def test_text_of_a_header(text: str, written: str) -> None:
    assert unstructured(text, len("Subject: ")) == written


def test_long_text_is_folded_within_78_columns() -> None:
    for text in ("word " * 60, "あ" * 200, "x" * 500):
        lines = ("Subject: " + unstructured(text, len("Subject: "))).split("\r\n")

        assert len(lines) > 1 and max(map(len, lines)) <= 78
        assert all(line.startswith(" ") for line in lines[1:])


@pytest.mark.parametrize(
    ("name", "address", "written"),
    [
        ("", "a@example.org", "a@example.org"),
        ("Taro Yamada", "a@example.org", "Taro Yamada <a@example.org>"),
        ("Yamada, Taro", "a@example.org", '"Yamada, Taro" <a@example.org>'),
        ('"x" \\', "a@example.org", '"\\"x\\" \\\\" <a@example.org>'),
        ("x", "a..b@docomo.ne.jp", 'x <"a..b"@docomo.ne.jp>'),
        ("x", "a@日本.example", "x <a@xn--wgv71a.example>"),
    ],
)
def test_a_mailbox_is_quoted_as_it_needs(name: str, address: str, written: str) -> None:
    assert mailbox(name, address, len("To: ")) == written


@pytest.mark.parametrize(
    "wrong",
    [
        {"from_email": "nobody"},
        {"from_email": "a@example.org\r\nBcc: b@example.org"},
        {"reply_to": "x"},
        {"base_url": "https://m.example/\r\nX: y"},
        {"message_domain": "a b"},
        {"list_id": "a>\r\n"},
        {"unsubscribe_mailto": "a@b>, <c"},
    ],
)
def test_a_wrong_sender_stops_the_campaign(wrong: dict[str, str]) -> None:
    with pytest.raises(ContentError):
        compile_source(source(**wrong))


def test_names_of_our_own_cannot_break_a_header() -> None:
    message = mail(source(from_name="a\r\nBcc: x", list_name="b\r\n\r\nbody", subject="c\r\nX: y"))

    assert "Bcc" not in message and "X" not in message
    assert message["Subject"] == "c X: y"


@pytest.mark.parametrize("format_", ["html", "plain", "text"])
def test_content_without_an_opt_out_gets_the_standard_footer(format_: str) -> None:
    text = text_of(source(), format_=format_)

    assert "Hanaya & Co\n1-2-3 Kyoto\nContact and complaints: info@shop.example\n" in text
    assert f"Unsubscribe: https://m.example/u/{ACT}\n" in text
    assert f"Choose what you receive: https://m.example/p/{ACT}\n" in text
    assert "What this mail records: https://m.example/about/tracking\n" in text


def test_the_html_footer_escapes_and_links() -> None:
    html = html_of(source(organisation=Organisation("<b>&", "Line 1\nLine 2", "https://shop.example/contact")))

    assert "<strong>&lt;b&gt;&amp;</strong><br>Line 1<br>Line 2<br>" in html
    assert '<a href="https://shop.example/contact"' in html
    assert f'<a href="https://m.example/u/{ACT}"' in html and f'<a href="https://m.example/p/{ACT}"' in html


def test_an_author_with_an_opt_out_of_their_own_gets_no_second_footer() -> None:
    html = html_of(source('<p>x</p><a href="{{ unsubscribe_url }}">stop</a>'))

    assert 'role="contentinfo"' not in html and f'<a href="https://m.example/u/{ACT}">stop</a>' in html


@pytest.mark.parametrize(
    "html",
    [
        "<!-- {{ unsubscribe_url }} --><p>x</p>",
        '<!--[if mso]><a href="{{ unsubscribe_url }}">x</a><![endif]--><p>x</p>',
        '<script>var x</script><noscript title="{{ unsubscribe_url }}"></noscript><p>x</p>',
        "<html><head><title>{{ unsubscribe_url }}</title></head><body>x</body></html>",
        '<p title="{{ unsubscribe_url }}">x</p>',
        '{% if member.vip %}<a href="{{ unsubscribe_url }}">stop</a>{% endif %}<p>x</p>',
    ],
)
def test_an_opt_out_that_not_everybody_sees_does_not_count(html: str) -> None:
    assert 'role="contentinfo"' in html_of(source(html))
