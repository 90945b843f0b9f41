"""Whatever a member is called, the mail stays the mail that was composed."""

import email.policy
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parseaddr
from time import perf_counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from kairan.addresses import AddressError
from mailer.compose import page as pages
from mailer.compose.compiler import compile_source
from mailer.compose.mail_headers import clean as clean_header
from mailer.compose.nodes import NotAProgram
from mailer.compose.page import Layout, addressed
from mailer.compose.program import Marks, Program, Recipient, clean, render
from tests.compose.builders import MARKS, TARO, part, program, recipient, source

HTML = """<h1 id="value">{{ member.first_name }}</h1><p title="{{ member.first_name }}">.{{ member.first_name }}.</p>
{% if member.city %}<p id="chosen">{{ member.city }}</p>{% else %}<p>none</p>{% endif %}
<a href="https://shop.example/{{ member.first_name }}?city={{ member.city }}">shop</a>
<!--[if mso]><b>{{ member.first_name }}</b><![endif]-->
<p>From {{ member.last_name | default: "you" | upcase }}</p>"""
CAMPAIGN = source(HTML, subject="Hi {{ member.first_name }}, {{ member.city }}!", preheader="For {{ member.first_name }}", from_name="花屋")
NASTY = [
    "",
    ".",
    "..",
    "\r\n.\r\n",
    "a\r\nBcc: x@example.org",
    "\n\n<script>alert(1)</script>",
    "=?utf-8?q?A=0D=0ABcc:_x=40example.org?=",
    "=?utf-8?b?DQoNCmJvZHk=?=",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "-->",
    "</p></title></style>",
    "{{ member.email }}",
    "&amp;&lt;",
    "From me",
    "=",
    "=41",
    "--=_",
    "山田\U0001f338" * 30,
    "𠮷" * 25,
    "x" * 10_000,
    "あ" * 10_000,
    ("word " * 2_000),
    " leading and trailing ",
    "\t",
    "a\x00b\x0bc\x1bd\x7fe\x85f",
    "a\u2028b\u2029c",
    "\ud800",
    '"quoted", \\ (comment) <a@b>',
    "%0d%0a",
]
VALUES = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=120),
    st.text(alphabet="\r\n.=?<>&\"' Fromé\U0001f338", max_size=200),
    st.lists(st.sampled_from(NASTY[:26]), max_size=4).map("".join),
)


@pytest.fixture(scope="module")
def compiled() -> Program:
    return program(CAMPAIGN)


@pytest.fixture(scope="module")
def document() -> Any:
    page = pages.read(CAMPAIGN)
    layout = Layout("en", beacon=True, tracked=True)
    return addressed(pages.html(page, CAMPAIGN, layout), CAMPAIGN.base_url), addressed(
        pages.text(page, CAMPAIGN, layout), CAMPAIGN.base_url
    )


def _member(first: str, last: str, city: str) -> Recipient:
    return recipient(first_name=first, last_name=last, attributes={"city": city})


def _shape(html: str) -> list[tuple[Any, list[str]]]:
    """Elements and the names of their attributes: what a value must never change."""
    root = etree.fromstring(html, etree.HTMLParser())
    return [(element.tag, sorted(map(str, element.attrib))) for element in root.iter(etree.Element)]


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES, VALUES)
@example("x" * 10_000, "あ" * 10_000, "=?utf-8?q?A=0D=0ABcc:_x?=")
@example(".", "\r\n.\r\n", "\ud800")
def test_no_value_breaks_the_wire_form(compiled: Program, first: str, last: str, city: str) -> None:
    wire = compiled.splice(_member(first, last, city), MARKS)

    assert wire.isascii() and wire.endswith(b"\r\n")
    assert b"\r" not in wire.replace(b"\r\n", b"") and b"\n" not in wire.replace(b"\r\n", b"")
    head, _, body = wire.partition(b"\r\n\r\n")
    assert all(len(line) <= 76 for line in body.split(b"\r\n"))
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    assert not any(line.startswith((b".", b"From ")) for line in wire.split(b"\r\n"))


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES, VALUES)
@example("a\r\nBcc: x@example.org", "=?utf-8?q?A=0D=0ABcc:_x?=", "=?utf-8?b?DQoNCmJvZHk=?=")
def test_no_value_adds_a_header_or_changes_one(compiled: Program, first: str, last: str, city: str) -> None:
    member = _member(first, last, city)

    message = message_from_bytes(compiled.splice(member, MARKS))

    assert message.keys() == message_from_bytes(compiled.splice(TARO, MARKS)).keys()
    assert not message.defects
    assert _decoded(message["Subject"]) == clean_header(f"Hi {clean_header(first)}, {clean_header(city)}!")
    name, address = parseaddr(message["To"].replace("\r\n", ""))
    assert _decoded(name) == clean_header(member.name)
    assert address == "taro@example.org"


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_a_mail_written_again_by_the_standard_library_gains_no_header(compiled: Program, first: str, last: str, city: str) -> None:
    """Python 3.11 decodes encoded words and writes what it finds: a gateway that does so must find nothing."""
    message = message_from_bytes(compiled.splice(_member(first, last, city), MARKS), policy=email.policy.SMTP)
    names = message.keys()

    copy = message_from_bytes(message.as_bytes())

    assert copy.keys() == names


@settings(max_examples=200, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_the_parts_decode_to_the_reference_rendering(compiled: Program, document: Any, first: str, last: str, city: str) -> None:
    member = _member(first, last, city)

    message = message_from_bytes(compiled.splice(member, MARKS))

    html, text = document
    assert part(message, "text/html").rstrip("\n") == render(html, member, MARKS).rstrip("\n")
    assert part(message, "text/plain").rstrip("\n") == render(text, member, MARKS).rstrip("\n")


@settings(max_examples=200, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_no_value_changes_the_markup(compiled: Program, first: str, last: str, city: str) -> None:
    html = part(message_from_bytes(compiled.splice(_member(first, last, city), MARKS)), "text/html")

    plain = part(message_from_bytes(compiled.splice(_member("Taro", "Yamada", "Kyoto" if city else ""), MARKS)), "text/html")
    assert _shape(html) == _shape(plain)
    heading = etree.fromstring(html, etree.HTMLParser()).find(".//h1[@id='value']")
    assert heading is not None and (heading.text or "") == clean(first)


@settings(max_examples=100, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_a_stored_program_splices_the_same_mail(compiled: Program, first: str, last: str, city: str) -> None:
    member = _member(first, last, city)

    again = Program.from_json(compiled.to_json())

    assert again == compiled
    assert again.to_json() == compiled.to_json()
    assert again.splice(member, MARKS) == compiled.splice(member, MARKS)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "[]",
        '{"version":2,"nodes":[]}',
        '{"version":1,"nodes":{}}',
        '{"version":1,"nodes":[["value","text",["__class__",null,[]]]]}',
        '{"version":1,"nodes":[["value","text",["first_name",null,[["eval","1"]]]]]}',
        '{"version":1,"nodes":[["mark","__class__",true]]}',
        '{"version":1,"nodes":[["if",[[["system",[]],[]]],[]]]}',
        '{"version":1,"nodes":[["header",["x"],-900]]}',
    ],
)
def test_what_is_not_a_program_is_refused(stored: str) -> None:
    with pytest.raises(NotAProgram):
        Program.from_json(stored)


def test_an_old_docomo_address_is_quoted() -> None:
    message = message_from_bytes(program(source()).splice(recipient(email="a..b@docomo.ne.jp", first_name="", last_name=""), MARKS))

    assert message["To"] == '"a..b"@docomo.ne.jp'


def test_an_address_with_a_line_break_is_refused() -> None:
    with pytest.raises(AddressError):
        program(source()).splice(recipient(email="a@example.org\r\nBcc: b@example.org"), MARKS)


def test_a_japanese_member_is_named_family_name_first() -> None:
    message = message_from_bytes(program(source()).splice(recipient(first_name="太郎", last_name="山田", locale="ja"), MARKS))

    assert parseaddr(message["To"])[0] and _decoded(parseaddr(message["To"])[0]) == "山田 太郎"


def test_repeated_values_are_remembered_within_bounds(compiled: Program) -> None:
    mails = {compiled.splice(_member(f"name{number}", "x", "y"), MARKS) for number in range(5_000)}

    assert len(mails) == 5_000
    assert compiled.splice(_member("name1", "x", "y"), MARKS) in mails


def test_the_time_of_a_splice_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """20 KB, 10 links; a figure to look at with `-s`, not a promise."""
    words = "<p>" + "lorem ipsum dolor sit amet " * 60 + "</p>"
    links = "".join(f'{words}<a href="https://shop.example/{number}">offer {number}</a>' for number in range(10))
    made = compile_source(source(f"<p>Hello {{{{ member.first_name | default: 'friend' }}}}</p>{links}", text="Short text")).programs[
        "html", "en"
    ]
    members = [recipient(number=number, email=f"m{number}@example.org", first_name=f"Name{number % 500}") for number in range(2_000)]
    marks = [Marks(b"%036d" % number, b"A" * 36, b"%032x" % number, MARKS.date) for number in range(2_000)]

    start = perf_counter()
    size = sum(len(made.splice(member, mark)) for member, mark in zip(members, marks, strict=True))
    took = perf_counter() - start

    with capsys.disabled():
        print(f"\nsplice: {took / 2_000 * 1e6:.1f} us for {size // 2_000} bytes")


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value.replace("\r\n", ""))))
