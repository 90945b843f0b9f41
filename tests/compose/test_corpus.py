"""Mails in the shapes that other tools write, and our starters: what the source says, shows and links is in the mail."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from kairan import i18n
from mailer.compose import compiler, document, kinds, starters
from mailer.compose.recipient import Recipient
from tests.compose.builders import source

FILES = sorted((Path(__file__).parent / "corpus").iterdir())
STARTERS = [(name, language) for name in starters.BLOCKS for language in ("en", "ja")]
HANAKO = Recipient(1, 1, "hanako@example.org", "Hanako", "Sato", "en", {})
KINDS = {".html": "html", ".mjml": "mjml", ".md": "markdown"}
Parts = dict[str, list[Any]]


def parts(root: etree._Element) -> Parts:
    """What a reader sees and can press: words without spaces, links, pictures, headlines."""
    body = root.find("body")
    for gone in list(body.iter("style", "script", etree.Comment)):
        tail = gone.tail or ""
        before, parent = gone.getprevious(), gone.getparent()
        if before is not None:
            before.tail = (before.tail or "") + tail
        else:
            parent.text = (parent.text or "") + tail
        parent.remove(gone)
    return {
        "words": ["".join(" ".join(body.itertext()).split())],
        "links": [link(each.get("href")) for each in body.iter("a", "area") if each.get("href")],
        "pictures": [(each.get("src"), each.get("alt")) for each in body.iter("img")],
        "headlines": [flat(each) for each in body.iter("h1", "h2", "h3", "h4", "h5", "h6")],
    }


def link(href: str) -> str:
    """An address may come out percent-encoded; it is the same address."""
    return re.sub(r"[^\x21-\x7e]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), href)


def flat(element: etree._Element) -> str:
    return "".join("".join(element.itertext()).split())


def of_mjml(text: str) -> Parts:
    root = etree.fromstring(text.encode())
    body = root.find("mj-body")
    return {
        "words": ["".join(" ".join(body.itertext()).split())],
        "links": [each.get("href") for each in body.iter() if each.get("href")],
        "pictures": [(each.get("src"), each.get("alt")) for each in body.iter("mj-image", "mj-social-element")],
        "headlines": [flat(each) for each in body.iter("h1", "h2", "h3")],
    }


def mailed(html: str) -> tuple[Parts, str]:
    """(what the HTML part shows, the text part), for one member, links as they were written."""
    made = compiler.preview(source(html), HANAKO, "en")
    text = compiler.preview(source(html), HANAKO, "en", text=True)
    return parts(etree.HTML(made)), "".join("".join(etree.HTML(text).find("body").itertext()).split())


def test_the_corpus_has_forty_mails() -> None:
    assert len(FILES) + len(STARTERS) >= 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_mail_of_another_tool_survives(file: Path) -> None:
    text = file.read_text("utf-8")
    html = kinds.as_html(KINDS[file.suffix], text, picture_base="https://m.example", title="x")
    assert html is not None

    shown, plain = mailed(html)

    wanted = of_mjml(text) if file.suffix == ".mjml" else parts(etree.HTML(html))
    assert wanted["words"][0] in shown["words"][0]
    for what in ("links", "pictures", "headlines"):
        assert shown[what][: len(wanted[what])] == wanted[what], what
    for headline in wanted["headlines"]:
        assert headline.casefold() in plain.casefold()
    assert "Unsubscribe" in shown["words"][0] and "Unsubscribe" in plain


@pytest.mark.parametrize(("name", "language"), STARTERS)
def test_a_starter_survives(name: str, language: str) -> None:
    with i18n.speaking(language):
        begun = starters.start(name, "Aoba Club")
    html = kinds.as_html("document", begun.content, picture_base="https://m.example") or ""

    shown, plain = mailed(html)

    for node in nodes(document.read(begun.content)["body"]):
        attrs = node.get("attrs", {})
        for said in (node.get("text"), attrs.get("label"), attrs.get("code")):
            assert "".join((said or "").split()) in shown["words"][0]
            assert "".join((said or "").split()) in plain or node["type"] == "html"
        if attrs.get("href"):
            assert link(attrs["href"]) in shown["links"]
        if node["type"] == "heading":
            assert "".join("".join(each.get("text", "") for each in node.get("content", [])).split()) in "".join(shown["headlines"])


def nodes(node: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield node
    for each in node.get("content", []):
        yield from nodes(each)
