"""A public archive as RSS 2.0, for programs that look for what is new."""

from collections.abc import Sequence
from email.utils import format_datetime

from lxml import etree

from kairan.models.audience import List
from mailer.campaigns import public_archive
from mailer.campaigns.public_archive import Entry
from mailer.compose.program import clean

ENTRIES_MAX = 20
CONTENT_TYPE = "application/rss+xml; charset=utf-8"
_ATOM = "http://www.w3.org/2005/Atom"


def written(row: List, entries: Sequence[Entry], base_url: str, language: str) -> bytes:
    """The feed. `language`: of members who named none, which is what the mails are written in as far as anybody knows."""
    home = base_url + public_archive.path(row)
    feed = etree.Element("rss", version="2.0", nsmap={"atom": _ATOM})
    channel = etree.SubElement(feed, "channel")
    _put(channel, "title", row.name)
    _put(channel, "link", home)
    _put(channel, "description", row.description or row.name)
    _put(channel, "language", language)
    etree.SubElement(channel, f"{{{_ATOM}}}link", href=f"{home}/feed.xml", rel="self", type="application/rss+xml")
    for entry in entries:
        _put_entry(channel, entry, home, f"{base_url}/archive/{row.id}")
    return etree.tostring(feed, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _put_entry(channel: etree._Element, entry: Entry, home: str, by_id: str) -> None:
    item = etree.SubElement(channel, "item")
    _put(item, "title", entry.subject or f"{entry.sent_at:%Y-%m-%d}")
    _put(item, "link", f"{home}/{entry.campaign_id}")
    # By the list's id, since a slug may change, and a reader takes another guid for another mail.
    _put(item, "guid", f"{by_id}/{entry.campaign_id}")
    _put(item, "pubDate", format_datetime(entry.sent_at, usegmt=True))
    if entry.preheader:
        _put(item, "description", entry.preheader)


def _put(parent: etree._Element, name: str, text: str) -> None:
    """XML 1.0 has no control characters, not even written as references."""
    etree.SubElement(parent, name).text = clean(text)
