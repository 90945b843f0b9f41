"""The document of the block editor: sections of columns of blocks, as JSON, believed in nothing before it was read here.

    {"version": 1, "theme": {…}, "body": {"type": "doc", "content": [section, …]}}

The shape of `body` is ProseMirror's (type, attrs, content, marks, text). What a client may not say, it cannot: unknown kinds, attributes of
the wrong form and places where a kind does not belong are refused with where they stand.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kairan.i18n import gettext as _
from mailer.compose.findings import ContentError

VERSION = 1
BYTES_MAX = 1_000_000
NODES_MAX = 20_000
BLOCKS_MAX = 1_000
DEPTH_MAX = 14
TEXT_MAX = 20_000
FONTS = {
    "sans": "-apple-system, 'Segoe UI', 'Hiragino Sans', 'Yu Gothic', Meiryo, Arial, sans-serif",
    "serif": "Georgia, 'Times New Roman', 'Hiragino Mincho ProN', 'Yu Mincho', serif",
    "rounded": "'Hiragino Maru Gothic ProN', 'Trebuchet MS', 'Yu Gothic', Meiryo, Arial, sans-serif",
}
CONDITIONS = ("filled", "empty", "is", "is_not", "contains")
"""what may be asked of a member's field before a block is shown"""
PRODUCTS_MAX = 24
NETWORKS = {
    "x": "X", "instagram": "Instagram", "facebook": "Facebook", "youtube": "YouTube", "line": "LINE", "note": "note", "tiktok": "TikTok",
    "linkedin": "LinkedIn", "web": "Web",
}  # fmt: skip
THEME: dict[str, Any] = {
    "background": "#f4f5f7", "content": "#ffffff", "text": "#1f2733", "heading": "#11161f", "link": "#2f4bd0", "button": "#2f4bd0",
    "buttonText": "#ffffff", "font": "sans", "width": 600, "radius": 6, "dark": True, "brand": False,
}  # fmt: skip
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PICTURE = re.compile(r"/m/[0-9a-f]{64}\.(?:png|jpg|gif)")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_URL_TAG = re.compile(r"\{\{[^{}]{1,200}\}\}")

Check = Callable[[Any], Any]


class DocumentError(ContentError):
    """`path` is where it stands: `/content/0/content/1/attrs/href`."""

    def __init__(self, path: str, said: str) -> None:
        super().__init__("document", f"{said} ({path or '/'})", "content")
        self.path = path


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of node: what may stand in it, and its attributes with their checks and defaults."""

    content: frozenset[str] = frozenset()
    attrs: Mapping[str, tuple[Check, Any]] = field(default_factory=dict)
    least: int = 0
    most: int = BLOCKS_MAX


# ---- checks: each returns the value as it is kept, or raises ValueError


def checked_colour(value: Any) -> str | None:
    if value in (None, ""):
        return None
    if isinstance(value, str) and _COLOUR.fullmatch(value):
        return value.lower()
    raise ValueError(_("a colour such as #2f4bd0 is needed"))


def _one_of(*names: Any) -> Check:
    def check(value: Any) -> Any:
        if value in names and type(value) in {type(name) for name in names}:
            return value
        raise ValueError(_("it must be one of %(names)s", names=", ".join(map(str, names))))

    return check


def _number(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise ValueError(_("a number from %(least)s to %(most)s is needed", least=least, most=most))

    return check


def _words(most: int) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, str) and len(value) <= most:
            return _NOT_XML.sub("", value)
        raise ValueError(_("a text of at most %(count)s characters is needed", count=most))

    return check


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(_("yes or no is needed"))


def address(value: Any) -> str:
    """A web, mail or telephone address, also one with merge fields; empty for none."""
    if not isinstance(value, str) or len(value) > 2_000:
        raise ValueError(_("an address is needed"))
    said = re.sub(r"[\x00-\x20\x7f]", "", _URL_TAG.sub("x", value.strip()))
    if not said or re.match(r"(?:https?://[^/]|mailto:.|tel:[+\d])", said, re.IGNORECASE) or _URL_TAG.fullmatch(value.strip()):
        return re.sub(r"[\x00-\x1f\x7f]", "", value.strip())
    raise ValueError(_("an address must begin with https://, mailto: or tel:"))


def checked_picture(value: Any) -> str:
    if isinstance(value, str) and (not value or _PICTURE.fullmatch(value) or re.match(r"https?://[^/\s\"<>]+/[^\s\"<>]*\Z", value)):
        return value
    raise ValueError(_("a picture of the library or an https address is needed"))


def _field(value: Any) -> str:
    if isinstance(value, str) and _FIELD.fullmatch(value):
        return value
    raise ValueError(_("the name of a field is needed"))


def checked_links(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > 12:
        raise ValueError(_("a list of at most 12 links is needed"))
    found = []
    for each in value:
        if not isinstance(each, dict) or set(each) - {"network", "href"}:
            raise ValueError(_("each link has a network and an address"))
        found.append({"network": _one_of(*NETWORKS)(each.get("network")), "href": address(each.get("href"))})
    return found


def _condition(value: Any) -> dict[str, str]:
    """Whom a block is for: a field of the member, what is asked of it, and the value it is held against."""
    if not isinstance(value, dict) or set(value) - {"field", "is", "value"}:
        raise ValueError(_("a condition has a field, what is asked of it, and a value"))
    asked = _one_of(*CONDITIONS)(value.get("is"))
    against = _words(100)(value.get("value", ""))
    return {"field": _field(value.get("field")), "is": asked, "value": "" if asked in ("filled", "empty") else against}


def _items(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > PRODUCTS_MAX:
        raise ValueError(_("a list of at most %(count)s products is needed", count=PRODUCTS_MAX))
    checks: dict[str, Check] = {
        "src": checked_picture, "alt": _words(500), "title": _words(200), "text": _words(1_000), "price": _words(60), "href": address,
    }  # fmt: skip
    found = []
    for each in value:
        if not isinstance(each, dict) or set(each) - set(checks):
            raise ValueError(_("a product has src, alt, title, text, price and href"))
        found.append({name: check(each.get(name, "")) for name, check in checks.items()})
    return found


# ---- the kinds

_INLINE = frozenset({"text", "mergeTag", "hardBreak"})
_RICH = frozenset({"paragraph", "heading", "bulletList", "orderedList", "blockquote"})
_BLOCKS = _RICH | {"image", "logo", "button", "divider", "spacer", "social", "video", "coupon", "html"}
_SECTIONS = frozenset({"section", "products", "saved"})
_ALIGN = (_one_of("left", "center", "right"), "left")
KINDS: dict[str, Kind] = {
    "doc": Kind(_SECTIONS, least=1),
    "section": Kind(
        frozenset({"column"}),
        {
            "background": (checked_colour, None), "padding": (_number(0, 80), 24), "show": (_one_of("all", "phone", "desktop"), "all"),
            "stack": (_flag, True),
        },
        least=1, most=3,
    ),
    "products": Kind(attrs={
        "items": (_items, []), "columns": (_number(1, 3), 2), "label": (_words(200), ""), "background": (checked_colour, None),
        "padding": (_number(0, 80), 24),
    }),
    "saved": Kind(attrs={"id": (_number(1, 10**15), 1), "name": (_words(200), "")}),
    "column": Kind(_BLOCKS, {"width": (_number(10, 100), 100)}, least=1),
    "paragraph": Kind(_INLINE, {"textAlign": _ALIGN}),
    "heading": Kind(_INLINE, {"textAlign": _ALIGN, "level": (_one_of(1, 2, 3), 2)}),
    "bulletList": Kind(frozenset({"listItem"}), least=1),
    "orderedList": Kind(frozenset({"listItem"}), {"start": (_number(1, 9_999), 1), "type": (lambda _value: None, None)}, least=1),
    "listItem": Kind(frozenset({"paragraph", "bulletList", "orderedList"}), least=1),
    "blockquote": Kind(frozenset({"paragraph"}), least=1),
    "image": Kind(attrs={
        "src": (checked_picture, ""), "alt": (_words(500), ""), "href": (address, ""), "width": (_number(10, 100), 100),
        "align": (_one_of("left", "center", "right"), "center"), "radius": (_number(0, 40), 0),
    }),
    "logo": Kind(attrs={"width": (_number(10, 100), 30), "align": _ALIGN}),
    "button": Kind(attrs={
        "label": (_words(200), ""), "href": (address, ""), "background": (checked_colour, None), "color": (checked_colour, None),
        "align": (_one_of("left", "center", "right"), "center"), "full": (_flag, False),
    }),
    "divider": Kind(attrs={"color": (checked_colour, None), "thickness": (_number(1, 8), 1)}),
    "spacer": Kind(attrs={"height": (_number(4, 120), 24)}),
    "social": Kind(attrs={"links": (checked_links, []), "align": (_one_of("left", "center", "right"), "center")}),
    "video": Kind(attrs={"src": (checked_picture, ""), "alt": (_words(500), ""), "href": (address, "")}),
    "coupon": Kind(attrs={"code": (_words(60), ""), "label": (_words(200), ""), "color": (checked_colour, None)}),
    "html": Kind(attrs={"html": (_words(50_000), "")}),
    "mergeTag": Kind(attrs={"field": (_field, "first_name"), "fallback": (_words(100), "")}),
    "hardBreak": Kind(),
}  # fmt: skip
for _name in _BLOCKS | _SECTIONS:
    KINDS[_name] = replace(KINDS[_name], attrs={**KINDS[_name].attrs, "condition": (_condition, None)})
MARKS: dict[str, Mapping[str, tuple[Check, Any]]] = {
    "bold": {}, "italic": {}, "underline": {}, "strike": {},
    "link": {"href": (address, "")}, "textColor": {"color": (checked_colour, None)},
}  # fmt: skip
NEEDS_RIGHT = frozenset({"html"})
"""kinds for those who may write HTML"""


def read(text: str) -> dict[str, Any]:
    """The document as it is kept: only what is known, with every attribute. Raises DocumentError."""
    return checked(parsed(text))


def parsed(text: str) -> Any:
    """What the text is as JSON, believed in nothing. Raises DocumentError."""
    if len(text.encode()) > BYTES_MAX:
        raise DocumentError("", _("The mail is larger than 1 MB: pictures belong into the library."))
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise DocumentError("", _("The mail cannot be read: it is not a document of the editor.")) from error


def checked(found: Any) -> dict[str, Any]:
    """Raises DocumentError."""
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise DocumentError("/version", _("This is no document of version %(version)s.", version=VERSION))
    counts = {"nodes": 0, "blocks": 0}
    theme = _attrs(found.get("theme") or {}, _THEME_CHECKS, "/theme")
    return {"version": VERSION, "theme": theme, "body": _node(found.get("body"), frozenset({"doc"}), "/body", 0, counts)}


_THEME_CHECKS: dict[str, tuple[Check, Any]] = {
    **{name: (checked_colour, THEME[name]) for name in ("background", "content", "text", "heading", "link", "button", "buttonText")},
    "font": (_one_of(*FONTS), "sans"), "width": (_number(480, 720), 600), "radius": (_number(0, 30), 6), "dark": (_flag, True),
    "brand": (_flag, False),
}  # fmt: skip


def _node(node: Any, allowed: frozenset[str], path: str, depth: int, counts: dict[str, int]) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise DocumentError(path, _("The mail is nested too deeply."))
    if not isinstance(node, dict) or not isinstance(node.get("type"), str):
        raise DocumentError(path, _("A block is missing here."))
    name = node["type"]
    if name not in allowed:
        raise DocumentError(path, _("“%(name)s” cannot stand here.", name=name[:40]))
    counts["nodes"] += 1
    counts["blocks"] += name in _BLOCKS or name in ("products", "saved")
    if counts["nodes"] > NODES_MAX or counts["blocks"] > BLOCKS_MAX:
        raise DocumentError(path, _("The mail has more than %(count)s blocks: nobody reads that far.", count=BLOCKS_MAX))
    if name == "text":
        return _text(node, path)
    kind = KINDS[name]
    kept: dict[str, Any] = {"type": name}
    if kind.attrs:
        kept["attrs"] = _attrs(node.get("attrs") or {}, kind.attrs, f"{path}/attrs")
    content = node.get("content") or []
    if not isinstance(content, list) or not kind.least <= len(content) <= kind.most:
        raise DocumentError(path, _("There are too few or too many parts in “%(name)s”.", name=name))
    if kind.content and content:
        kept["content"] = [_node(each, kind.content, f"{path}/content/{at}", depth + 1, counts) for at, each in enumerate(content)]
    elif content:
        raise DocumentError(path, _("“%(name)s” holds nothing else.", name=name))
    return kept


def _text(node: Mapping[str, Any], path: str) -> dict[str, Any]:
    text = node.get("text")
    if not isinstance(text, str) or not text or len(text) > TEXT_MAX:
        raise DocumentError(path, _("A text is missing, or longer than %(count)s characters.", count=TEXT_MAX))
    kept: dict[str, Any] = {"type": "text", "text": _NOT_XML.sub("", text) or " "}
    marks = node.get("marks") or []
    if not isinstance(marks, list) or len(marks) > len(MARKS):
        raise DocumentError(path, _("These marks are not known."))
    kept_marks = []
    for at, mark in enumerate(marks):
        if not isinstance(mark, dict) or mark.get("type") not in MARKS:
            raise DocumentError(f"{path}/marks/{at}", _("This mark is not known."))
        attrs = _attrs(mark.get("attrs") or {}, MARKS[mark["type"]], f"{path}/marks/{at}/attrs")
        kept_marks.append({"type": mark["type"], **({"attrs": attrs} if attrs else {})})
    if kept_marks:
        kept["marks"] = kept_marks
    return kept


def _attrs(given: Any, checks: Mapping[str, tuple[Check, Any]], path: str) -> dict[str, Any]:
    """Every attribute that there is; what is not known is left out, what is wrong is refused."""
    if not isinstance(given, dict):
        raise DocumentError(path, _("Attributes are missing."))
    kept = {}
    for name, (check, default) in checks.items():
        value = given.get(name)
        try:
            kept[name] = default if value is None else check(value)
        except (ValueError, TypeError) as error:
            raise DocumentError(f"{path}/{name}", str(error)) from error
    return kept


def has_kind(document: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether a node of one of these kinds is in it."""
    waiting = [document["body"]]
    while waiting:
        node = waiting.pop()
        if node["type"] in names:
            return True
        waiting += node.get("content", [])
    return False


def section(found: Any) -> dict[str, Any]:
    """A section by itself, as it is saved for several mails. Raises DocumentError."""
    return _node(found, frozenset({"section", "products"}), "", 1, {"nodes": 0, "blocks": 0})


def with_sections(document: Mapping[str, Any], sections: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The document with what its saved sections say now. Raises DocumentError for one that is gone."""
    body = document["body"]
    written = []
    for at, node in enumerate(body["content"]):
        if node["type"] != "saved":
            written.append(node)
        elif (held := sections.get(node["attrs"]["id"])) is None:
            said = _("The saved section “%(name)s” is no longer there: take it out.", name=node["attrs"]["name"][:60])
            raise DocumentError(f"/body/content/{at}", said)
        else:
            condition = node["attrs"]["condition"]
            written.append({**held, "attrs": {**held["attrs"], **({"condition": condition} if condition else {})}})
    return {**document, "body": {**body, "content": written}}


def empty() -> dict[str, Any]:
    """A mail that has nothing in it yet."""
    paragraph = {"type": "paragraph"}
    section = {"type": "section", "content": [{"type": "column", "content": [paragraph]}]}
    return checked({"version": VERSION, "theme": {}, "body": {"type": "doc", "content": [section]}})
