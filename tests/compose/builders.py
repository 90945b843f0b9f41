"""A campaign's source and its recipients, as the compose tests use them."""

from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from typing import Any

from mailer.compose.compiler import Organisation, Source, compile_source
from mailer.compose.program import Marks, Program, Recipient

MARKS = Marks(b"T" * 36, b"A" * 36, b"0123456789abcdef0123456789abcdef", b"Tue, 24 Nov 2026 09:00:00 +0000")
SOURCE = Source(
    campaign_id=7,
    campaign_name="Spring & sale",
    revision=1,
    subject="Spring news",
    preheader="",
    from_name="Hanaya",
    from_email="news@shop.example",
    reply_to=None,
    html="<p>Hello</p>",
    text=None,
    record_opens=True,
    record_clicks=True,
    organisation=Organisation("Hanaya & Co", "1-2-3 Kyoto", "info@shop.example"),
    base_url="https://m.example",
    list_id="news.3.example.org",
    list_name="News",
    unsubscribe_mailto=None,
    message_domain="example.org",
    attribute_names=frozenset({"city", "vip", "points"}),
)
TARO = Recipient(5, 9, "taro@example.org", "Taro", "Yamada", "en", {"city": "Kyoto", "vip": True, "points": 120})


def source(html: str | None = "<p>Hello</p>", **changes: Any) -> Source:
    return replace(SOURCE, html=html, **changes)


def recipient(**changes: Any) -> Recipient:
    return replace(TARO, **changes)


def program(of: Source, format_: Any = "html", language: str = "en") -> Program:
    return compile_source(of).programs[format_, language]


def mail(of: Source, to: Recipient = TARO, format_: Any = "html", language: str = "en") -> Message:
    return message_from_bytes(program(of, format_, language).splice(to, MARKS))


def part(message: Message, content_type: str) -> str:
    found = next(item for item in message.walk() if item.get_content_type() == content_type)
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def html_of(of: Source, to: Recipient = TARO, format_: Any = "html", language: str = "en") -> str:
    return part(mail(of, to, format_, language), "text/html")


def text_of(of: Source, to: Recipient = TARO, format_: Any = "html", language: str = "en") -> str:
    return part(mail(of, to, format_, language), "text/plain")
