"""What a new campaign begins with, in the words of the reader's language: a mail of blocks, a letter as HTML, or plain text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kairan import i18n, resources
from kairan.i18n import lazy_gettext as _
from mailer.compose import document

FOLDER = "templates/mail/starters"
BLOCKS = {
    "newsletter": (_("Newsletter"), _("A main story, two short ones and a date.")),
    "announcement": (_("Announcement"), _("What changes, from when, and what is to be done.")),
    "offer": (_("Offer"), _("A code, two products and the small print.")),
    "event": (_("Invitation"), _("When, where, and a button to say yes.")),
    "digest": (_("Digest"), _("Five things in two minutes.")),
    "welcome": (_("Welcome"), _("For new members: three things to begin with.")),
    "repermission": (_("Still interested?"), _("For those who have not read for long.")),
    "notice": (_("Notice"), _("Something to keep, such as a renewal.")),
    "empty": (_("Empty mail of blocks"), _("One section, nothing in it yet.")),
}
SOURCES = {
    "letter": (_("A letter"), _("As HTML: headline, greeting, text and a button.")),
    "blank": (_("Empty HTML"), _("Bring your own source.")),
    "mjml": (_("MJML"), _("Bring your own MJML.")),
    "markdown": (_("Markdown"), _("Words with headlines, lists and links.")),
    "text": (_("Plain text"), _("No pictures, no beacon: for a short word.")),
}
STARTS = (*BLOCKS, *SOURCES)


@dataclass(frozen=True, slots=True)
class Start:
    kind: str
    content: str
    subject: str = ""
    preheader: str = ""


def start(name: str, organisation: str) -> Start:
    """Raises KeyError for a name that is none of STARTS."""
    if name == "empty":
        return Start("document", json.dumps(following(document.empty()), ensure_ascii=False))
    if name in BLOCKS:
        found = json.loads(_text(f"{name}.{i18n.language()}.json", organisation))
        return Start("document", json.dumps(following(found["document"]), ensure_ascii=False), found["subject"], found["preheader"])
    if name == "mjml":
        return Start("mjml", _text("blank.mjml", organisation))
    if name == "markdown":
        return Start("markdown", _text(f"markdown.{i18n.language()}.md", organisation))
    suffix = {"letter": "html", "blank": "html", "text": "txt"}[name]
    return Start("text" if name == "text" else "html", _text(f"{name}.{i18n.language()}.{suffix}", organisation))


def following(found: dict[str, Any]) -> dict[str, Any]:
    """The document following the brand: its own colours hold while there is none."""
    return {**found, "theme": {**found["theme"], "brand": True}}


def around(section: Mapping[str, Any]) -> str:
    """A mail that is this section and nothing else."""
    return json.dumps(following({**document.empty(), "body": {"type": "doc", "content": [section]}}), ensure_ascii=False)


def with_logo(content: str) -> str:
    """A mail of blocks with the logo on top."""
    found = json.loads(content)
    column = found["body"]["content"][0]["content"][0]
    column["content"].insert(0, {"type": "logo", "attrs": {"width": 30, "align": "left"}})
    return json.dumps(found, ensure_ascii=False)


def _text(name: str, organisation: str) -> str:
    return (resources.path(FOLDER) / name).read_text("utf-8").replace("ORGANISATION", organisation or "Kairan")
