"""What is wrong or unwise in a campaign's content: errors stop it, warnings are for its author to judge."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from lxml import etree

from kairan.addresses import AddressError, normal
from kairan.i18n import gettext as _
from mailer.compose import client_support, compiler, written_text
from mailer.compose import page as pages
from mailer.compose.expressions import Condition, Value
from mailer.compose.findings import ContentError, Finding
from mailer.compose.links import is_web, text_of
from mailer.compose.merge import as_liquid, parse
from mailer.compose.nodes import Choice, Nodes, Output
from mailer.compose.page import Layout, Page
from mailer.compose.program import render
from mailer.compose.recipient import Recipient
from mailer.compose.sanitise import scheme, section
from mailer.compose.source import Source, scope, subject
from mailer.compose.standins import StandIns

SUBJECT_MAX = 60
GMAIL_CLIPS_AT = 102 * 1024
_PLACEHOLDER = re.compile(r"lorem ipsum|\bTODO\b|\bTBD\b|\bXXX+\b|your text here|ここにテキスト|ダミーテキスト|〇〇〇|○○○", re.IGNORECASE)
_ADDRESS_AS_TEXT = re.compile(r"\s*(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?:[/?#:]\S*)?\s*", re.IGNORECASE)
_SHOUTING = re.compile(r"[!！]{2,}|(?:[!！][^!！]*){3,}")
_ANYBODY = Recipient(0, 0, "member@example.org", "", "", "", {})


def check(source: Source) -> list[Finding]:
    """Errors first. Never raises: what keeps the content from becoming a mail is an error here."""
    findings = [*_sender(source), *_errors(source)]
    if any(finding.level == "error" and finding.where.startswith(("content", "text", "preheader")) for finding in findings):
        return findings
    return sorted([*findings, *_warnings(source)], key=lambda finding: finding.level != "error")


def _sender(source: Source) -> Iterable[Finding]:
    fields = [("from_email", source.from_email), *([("reply_to", source.reply_to)] if source.reply_to else [])]
    for where, address in fields:
        try:
            normal(address)
        except AddressError as error:
            message = _("`%(address)s` cannot be used as an address: %(reason)s", address=address, reason=str(error))
            yield Finding("error", "invalid_address", message, where)
    if not source.from_name.strip():
        yield _warning("no_from_name", _("The sender has no name: inboxes show the bare address."), "from_name")


def _errors(source: Source) -> Iterable[Finding]:
    """Each part is tried by itself, so that an author sees all of it at once."""
    parts: list[Callable[[], object]] = [
        lambda: subject(source),
        lambda: parse(source.preheader, scope(source), "preheader", "text"),
        lambda: written_text.read(source),
        lambda: pages.read(source) if source.has_html else None,
    ]
    found = []
    for part in parts:
        try:
            part()
        except ContentError as error:
            found.append(error.finding)
    if not source.has_html and not source.has_text:
        found.append(Finding("error", "empty", _("The content is empty."), "content"))
    return found or _compiled(source)


def _compiled(source: Source) -> Iterable[Finding]:
    try:
        compiler.compile_source(source)
    except ContentError as error:
        if error.where not in ("from_email", "reply_to"):
            yield error.finding


def _warnings(source: Source) -> Iterable[Finding]:
    yield from _subject(source)
    if source.has_html:
        if not source.preheader.strip():
            yield _warning("no_preheader", _("There is no preheader: the inbox will show the first words of the mail."), "preheader")
        yield from _fallbacks(parse(source.preheader, scope(source), "preheader", "text"), "preheader")
        page = pages.read(source)
        yield from page.removed
        yield from _page(page, source)
    if source.has_text:
        yield from _fallbacks(written_text.read(source), "text")
        yield from _placeholders(source.text or "", "text")


def _subject(source: Source) -> Iterable[Finding]:
    try:
        nodes = subject(source)
    except ContentError:
        return
    yield from _fallbacks(nodes, "subject")
    shown = render(nodes, _ANYBODY)
    letters = [character for character in shown if character.isalpha() and character.isascii()]
    if len(shown) > SUBJECT_MAX:
        message = _("The subject has %(count)s characters; inboxes show about %(most)s.", count=len(shown), most=SUBJECT_MAX)
        yield _warning("long_subject", message, "subject")
    if (len(letters) > 5 and all(letter.isupper() for letter in letters)) or _SHOUTING.search(shown):
        yield _warning("shouting", _("The subject shouts: capitals and exclamation marks look like spam."), "subject")
    yield from _placeholders(shown, "subject")


def _page(page: Page, source: Source) -> Iterable[Finding]:
    nodes = pages.html(page, source, Layout("en", beacon=True, tracked=True))
    yield from _fallbacks(pages.html(page, replace(source, preheader=""), Layout("en", beacon=False, tracked=False)), "content")
    size = len(render(nodes, _ANYBODY).encode())
    if size > GMAIL_CLIPS_AT:
        message = _("The HTML has %(size)s KB: Gmail cuts it off at 102 KB, and the opt-out with it.", size=size // 1024)
        yield _warning("too_long", message, "content")
    text = page.standins.source(text_of(section(page.root, "body")))
    yield from _placeholders(text, "content")
    if not text.strip():
        yield _warning("no_text", _("The mail is images only: many programs do not show them at first."), "content")
    for missing in client_support.check(page.root):
        programs = ", ".join(client_support.PROGRAMS[name] for name in missing.programs)
        message = _("Not shown by %(programs)s: %(feature)s.", programs=programs, feature=missing.title)
        yield _warning("client_support", message, "content")
    if not page.links:
        yield _warning("no_links", _("There is no link in the mail."), "content")
    if page.has_own_footer:
        yield from _own_footer(page, source, text)
    for place, image in enumerate(page.root.iter("img"), start=1):
        yield from _image(image, source.base_url, f"content:image {place}")
    for place, anchor in enumerate(page.root.iter("a"), start=1):
        yield from _link(anchor, page.standins, f"content:link {place}")


def _fallbacks(nodes: Nodes, where: str) -> Iterable[Finding]:
    for field in dict.fromkeys(as_liquid(value) for value in unguarded(nodes, frozenset({"email", "locale"})) if not value.has_fallback):
        yield _warning("no_fallback", _("%(field)s has no fallback: members without it see a gap.", field=field), where)


def unguarded(nodes: Nodes, known: frozenset[str]) -> Iterable[Value]:
    """Values that may be empty where they are put out: no condition around them says that the member has one."""
    for node in nodes:
        if isinstance(node, Output) and node.value.field not in known:
            yield node.value
        elif isinstance(node, Choice):
            for condition, branch in node.branches:
                yield from unguarded(branch, known | _established(condition))
            yield from unguarded(node.otherwise, known)


def _established(condition: Condition) -> frozenset[str]:
    """The fields that are not empty where the condition holds."""
    if condition.operator == "and":
        return frozenset().union(*(_established(part) for part in condition.operands if isinstance(part, Condition)))
    field = condition.operands[0]
    if condition.operator in ("truthy", "==", "contains", ">", "<", ">=", "<=") and isinstance(field, Value) and field.field:
        return frozenset() if condition.operands[-1] == Value(None, "") else frozenset({field.field})
    return frozenset()


def _image(image: etree._Element, base_url: str, where: str) -> Iterable[Finding]:
    source = image.get("src", "")
    if image.get("alt") is None:
        yield _warning("no_alt", _("The image %(image)s has no alternative text.", image=_name(source)), where)
    if not image.get("width") and "width" not in image.get("style", ""):
        yield _warning("no_width", _("The image %(image)s has no width: Outlook shows it in its own size.", image=_name(source)), where)
    # Our own pictures are as safe as this installation: pre-flight speaks of KAIRAN_BASE_URL once, not of every picture.
    if scheme(source) == "http" and not source.startswith(f"{base_url}/"):
        yield _warning("insecure_image", _("The image %(image)s is not loaded over https.", image=_name(source)), where)
    elif scheme(source) not in ("http", "https"):
        yield _warning("no_image", _("The image %(image)s has no web address: nobody will see it.", image=_name(source)), where)


def _link(anchor: etree._Element, standins: StandIns, where: str) -> Iterable[Finding]:
    href = standins.source(anchor.get("href", "")).strip()
    text = standins.source(text_of(anchor)).strip()
    if not href or href == "#":
        if anchor.get("href") is not None:
            yield _warning("empty_link", _("The link “%(text)s” leads nowhere.", text=text), where)
        return
    is_ours = href.startswith("{{")
    if not is_ours and not href.startswith("#") and scheme(href) not in ("mailto", "tel") and not is_web(href):
        yield _warning("bad_link", _("`%(address)s` is not a web address.", address=href[:100]), where)
        return
    shown = _ADDRESS_AS_TEXT.fullmatch(text)
    if shown and is_web(href) and _site(shown[1]) != _site(urlsplit(href).hostname or ""):
        message = _("The link shows “%(text)s” but leads to %(host)s.", text=text[:100], host=urlsplit(href).hostname)
        yield _warning("other_address_shown", message, where)
    if not text and next(anchor.iter("img"), None) is None:
        yield _warning("empty_link", _("A link to %(address)s has no text and no image.", address=href[:100]), where)


def _own_footer(page: Page, source: Source, text: str) -> Iterable[Finding]:
    """An author's own footer must say what ours would; only what can be seen to be missing is named."""
    flat = " ".join(text.split())
    for name, words in (
        (_("the sender's name"), source.organisation.name),
        (_("the postal address"), source.organisation.address),
        (_("a contact for complaints"), source.organisation.contact),
    ):
        if words.strip() and " ".join(words.split()) not in flat:
            message = _("Your own footer does not hold %(what)s, which the law asks for in each mail.", what=name)
            yield _warning("footer_incomplete", message, "content")
    if not any("tracking_info_url" in page.standins.source(anchor.get("href", "")) for anchor in page.root.iter("a")):
        yield _warning("no_tracking_info", _("Your own footer does not link to what is recorded: `{{ tracking_info_url }}`."), "content")


def _placeholders(text: str, where: str) -> Iterable[Finding]:
    found = _PLACEHOLDER.search(text)
    if found:
        yield _warning("placeholder", _("“%(text)s” looks like a placeholder.", text=found.group()), where)


def _site(host: str) -> str:
    return host.lower().removeprefix("www.")


def _name(address: str) -> str:
    return address.rpartition("/")[2][:60] or address[:60] or "?"


def _warning(rule: str, message: str, where: str) -> Finding:
    return Finding("warning", rule, message, where)
