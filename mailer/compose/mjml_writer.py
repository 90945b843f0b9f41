"""A document of the editor as MJML, and MJML as the HTML that mail programs show: tables, Outlook's conditionals, phone and dark rules.

Written for MRML's ways (FRONTEND.md 2): strict XML, no newline within an attribute, no whitespace that holds one between inline elements.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

import mjml
from lxml import etree

from kairan.i18n import gettext as _
from mailer.compose import contrast
from mailer.compose.brand import NOTHING, Brand, Shared
from mailer.compose.document import FONTS, NETWORKS, with_sections
from mailer.compose.findings import ContentError

MJML_DEPTH_MAX = 100
"""MRML dies of 20,000 levels, and no mail needs a hundred"""
Node = Mapping[str, Any]
DARK = "#1d2127"
"""behind the words in dark mode, where a section has no background of its own"""
_HEADINGS = {1: ("30px", "1.25"), 2: ("23px", "1.3"), 3: ("18px", "1.4")}


def html(document: Node, *, picture_base: str, shared: Shared = NOTHING) -> str:
    """The mail as HTML, with merge fields and our pictures' addresses below `picture_base`. Raises ContentError."""
    whole = with_sections(document, shared.sections)
    return compiled(Writer(theme_of(whole["theme"], shared.brand), picture_base, shared).mail(whole["body"]))


def theme_of(theme: Node, brand: Brand | None) -> Node:
    """A mail's own theme, or the brand's where it follows that."""
    return {**theme, **brand.theme} if theme["brand"] and brand else theme


def compiled(source: str) -> str:
    """MJML as HTML. Raises ContentError, with where MRML stopped."""
    try:
        made = str(mjml.mjml2html(source, disable_comments=True, fonts={}, social_icon_origin="https://invalid.invalid/"))
        return made.replace(' lang="und"', "")  # each language version gets its own
    except ValueError as error:
        raise ContentError("mjml", _("This is no MJML that can be used: %(reason)s", reason=str(error)[:300]), "content") from error


def checked(source: str) -> str:
    """MJML that somebody wrote. Raises ContentError for what is no XML, too deep, or would load other files."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(source.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ContentError("mjml", _("This is no MJML that can be used: %(reason)s", reason=str(error)[:300]), "content") from error
    if root.tag != "mjml":
        raise ContentError("mjml", _("MJML begins with <mjml>."), "content")
    for element in root.iter():
        if element.tag == "mj-include":
            raise ContentError("mjml", _("<mj-include> loads other files: put their content here."), "content")
        if sum(1 for _each in element.iterancestors()) > MJML_DEPTH_MAX:
            raise ContentError("mjml", _("The content is nested more than %(limit)s levels deep.", limit=MJML_DEPTH_MAX), "content")
    return source


class Writer:
    """One document's MJML."""

    def __init__(self, theme: Node, picture_base: str, shared: Shared = NOTHING) -> None:
        self.shared = shared
        self.theme = theme
        self.base = picture_base
        self.font = FONTS[theme["font"]]

    def mail(self, body: Node) -> str:
        sections = "".join(self._conditional(node, getattr(self, node["type"])(node)) for node in body["content"])
        theme = self.theme
        attributes = (
            f'<mj-all font-family="{attr(self.font)}"/>'
            f'<mj-text font-size="16px" line-height="1.65" color="{theme["text"]}" padding="8px 24px"/>'
            f'<mj-button background-color="{theme["button"]}" color="{theme["buttonText"]}" border-radius="{theme["radius"]}px" '
            'font-size="16px" font-weight="600" inner-padding="14px 28px" padding="12px 24px"/>'
            '<mj-image padding="8px 24px"/><mj-divider padding="12px 24px"/><mj-section padding="0"/>'
        )
        head = f"<mj-head><mj-attributes>{attributes}</mj-attributes><mj-style>{self._style()}</mj-style></mj-head>"
        body_attrs = f'css-class="k-body" background-color="{theme["background"]}" width="{theme["width"]}px"'
        return f"<mjml>{head}<mj-body {body_attrs}>{sections}</mj-body></mjml>"

    def _style(self) -> str:
        link = self.theme["link"]
        rules = (
            f".k-text a{{color:{link};text-decoration:underline}}.k-text p{{margin:0 0 12px}}.k-text p:last-child{{margin-bottom:0}}"
            ".k-text ul,.k-text ol{margin:0 0 12px;padding-left:24px}.k-text h1,.k-text h2,.k-text h3{margin:0}"
            "@media only screen and (max-width:479px){.hide-phone{display:none !important}}"
            "@media only screen and (min-width:480px){.hide-desktop{display:none !important}}"
        )
        if self.theme["dark"]:
            rules += (
                "@media (prefers-color-scheme:dark){body,.k-body{background-color:#14171c !important}"
                ".k-footer,.k-footer a{color:#aab2bf !important}"
                f".k-plain,.k-plain>table{{background-color:{DARK} !important;background:{DARK} !important}}"
                ".k-plain .k-text div,.k-plain .k-text p,.k-plain .k-text li,.k-plain .k-text h1,.k-plain .k-text h2,.k-plain .k-text h3"
                "{color:#e8eaee !important}.k-plain .k-text a{color:#9fb2ff !important}"
                ".k-plain .k-code{border-color:#9fb2ff !important}.k-plain .k-code strong{color:#e8eaee !important}"
                ".k-plain .k-dim table td{border:1px solid #9fb2ff !important}}"
            )
        return rules

    # ---- sections

    def section(self, node: Node) -> str:
        attrs = node["attrs"]
        classes = [] if attrs["background"] else ["k-plain"]
        classes += {"phone": ["hide-desktop"], "desktop": ["hide-phone"]}.get(attrs["show"], [])
        inner = "".join(self.column(column, len(node["content"])) for column in node["content"])
        if not attrs["stack"] and len(node["content"]) > 1:
            inner = f"<mj-group>{inner}</mj-group>"
        background = attrs["background"] or self.theme["content"]
        given = f'background-color="{background}" padding="{attrs["padding"]}px 0" css-class="{" ".join(classes)}"'
        return f"<mj-section {given}>{inner}</mj-section>"

    def column(self, node: Node, count: int) -> str:
        width = "" if count == 1 else f' width="{node["attrs"]["width"]}%"'
        return f"<mj-column{width}>{''.join(map(self.block, node['content']))}</mj-column>"

    def products(self, node: Node) -> str:
        """Cards in rows of one to three, below each other on telephones: a section a row, with Outlook's widths."""
        attrs = node["attrs"]
        rows = [attrs["items"][at : at + attrs["columns"]] for at in range(0, len(attrs["items"]), attrs["columns"])]
        background, classes = attrs["background"] or self.theme["content"], "" if attrs["background"] else "k-plain"
        written = ""
        for place, row in enumerate(rows):
            top, bottom = attrs["padding"] if place == 0 else 0, attrs["padding"] if row is rows[-1] else 0
            cells = "".join(self._product(item, attrs) for item in row)
            cells += "<mj-column></mj-column>" * (attrs["columns"] - len(row))  # a last one alone stays as wide as the others
            written += (
                f'<mj-section background-color="{background}" padding="{top}px 0 {bottom}px" css-class="{classes}">{cells}</mj-section>'
            )
        return written

    def _product(self, item: Node, attrs: Node) -> str:
        link = f' href="{attr(item["href"])}"' if item["href"] else ""
        width = self.theme["width"] // attrs["columns"] - 48
        picture = (
            f'<mj-image src="{attr(self._picture(item["src"]))}" alt="{attr(item["alt"])}" width="{width}px"{link}/>' if item["src"] else ""
        )
        style = f"margin:0;font-size:18px;line-height:1.4;font-weight:700;color:{self.theme['heading']}"
        lines = [f'<h3 style="{style}">{text(item["title"])}</h3>'] if item["title"] else []
        lines += [f"<p>{text(item['text'])}</p>"] if item["text"] else []
        lines += [f"<p><strong>{text(item['price'])}</strong></p>"] if item["price"] else []
        words = self._rich("".join(lines), "left") if lines else ""
        button = f'<mj-button align="left"{link}>{text(attrs["label"])}</mj-button>' if attrs["label"] and link else ""
        return f"<mj-column>{picture}{words}{button}</mj-column>"

    # ---- blocks

    def block(self, node: Node) -> str:
        return self._conditional(node, str(getattr(self, f"_{node['type']}")(node)))

    def _conditional(self, node: Node, written: str) -> str:
        """For the members whom the node is for; the merge language asks, so each mail is decided when it is made."""
        asked = node["attrs"]["condition"]
        if not asked or not written:
            return written
        begin, end = condition(asked)
        return f"<mj-raw>{text(begin)}</mj-raw>{written}<mj-raw>{end}</mj-raw>"

    def _paragraph(self, node: Node) -> str:
        return self._rich(f"<p>{self.inline(node) or '&#160;'}</p>", node["attrs"]["textAlign"])

    def _heading(self, node: Node) -> str:
        level = node["attrs"]["level"]
        size, height = _HEADINGS[level]
        style = f"margin:0;font-size:{size};line-height:{height};font-weight:700;color:{self.theme['heading']}"
        return self._rich(f'<h{level} style="{style}">{self.inline(node)}</h{level}>', node["attrs"]["textAlign"])

    def _bulletList(self, node: Node) -> str:
        return self._rich(self._list(node), "left")

    def _orderedList(self, node: Node) -> str:
        return self._rich(self._list(node), "left")

    def _blockquote(self, node: Node) -> str:
        inner = "".join(f"<p>{self.inline(paragraph)}</p>" for paragraph in node["content"])
        style = f"margin:0;padding:4px 0 4px 16px;border-left:3px solid {self.theme['button']}"
        return self._rich(f'<blockquote style="{style}">{inner}</blockquote>', "left")

    def _rich(self, inner: str, align: str) -> str:
        return f'<mj-text css-class="k-text" align="{align}">{inner}</mj-text>'

    def _list(self, node: Node) -> str:
        tag = "ul" if node["type"] == "bulletList" else "ol"
        start = f' start="{node["attrs"]["start"]}"' if tag == "ol" and node["attrs"]["start"] != 1 else ""
        return f"<{tag}{start}>{''.join(map(self._item, node['content']))}</{tag}>"

    def _item(self, node: Node) -> str:
        parts = (self.inline(each) if each["type"] == "paragraph" else self._list(each) for each in node["content"])
        return f"<li>{''.join(parts)}</li>"

    def _image(self, node: Node) -> str:
        attrs = node["attrs"]
        if not attrs["src"]:
            return ""
        width = round((self.theme["width"] - 48) * attrs["width"] / 100)
        link = f' href="{attr(attrs["href"])}"' if attrs["href"] else ""
        return (
            f'<mj-image src="{attr(self._picture(attrs["src"]))}" alt="{attr(attrs["alt"])}" width="{width}px" align="{attrs["align"]}" '
            f'border-radius="{attrs["radius"]}px"{link}/>'
        )

    def _logo(self, node: Node) -> str:
        """The brand's; the organisation's name where there is none."""
        brand, attrs = self.shared.brand, node["attrs"]
        if brand is None or not brand.logo:
            name = text(self.shared.organisation)
            style = f"margin:0;font-size:18px;line-height:1.4;font-weight:700;color:{self.theme['heading']}"
            return self._rich(f'<p style="{style}">{name}</p>', attrs["align"]) if name else ""
        alt = brand.logo_alt or self.shared.organisation
        given = {"src": brand.logo, "alt": alt, "href": brand.logo_href, "width": attrs["width"], "align": attrs["align"], "radius": 0}
        return self._image({"attrs": given})

    def _video(self, node: Node) -> str:
        """A still that leads to the film: mail programs play none."""
        attrs = node["attrs"]
        if not attrs["src"]:
            return ""
        href, width = attr(attrs["href"]), self.theme["width"] - 48
        still = f'<mj-image src="{attr(self._picture(attrs["src"]))}" alt="{attr(attrs["alt"])}" width="{width}px" href="{href}"/>'
        label = escape(_("Watch the film"))
        return still + f'<mj-button href="{href}">▶ {label}</mj-button>'

    def _button(self, node: Node) -> str:
        attrs = node["attrs"]
        given = {
            "href": attrs["href"], "align": attrs["align"], "background-color": attrs["background"], "color": attrs["color"],
            "width": "100%" if attrs["full"] else None,
            # Its edge would be lost in dark mode: it gets a line there.
            "css-class": "k-dim" if contrast.ratio(attrs["background"] or self.theme["button"], DARK) < 3 else None,
        }  # fmt: skip
        said = "".join(f' {name}="{attr(value)}"' for name, value in given.items() if value)
        return f"<mj-button{said}>{text(attrs['label'])}</mj-button>"

    def _divider(self, node: Node) -> str:
        attrs = node["attrs"]
        return f'<mj-divider border-color="{attrs["color"] or "#d5d9e0"}" border-width="{attrs["thickness"]}px"/>'

    def _spacer(self, node: Node) -> str:
        return f'<mj-spacer height="{node["attrs"]["height"]}px"/>'

    def _social(self, node: Node) -> str:
        links = [link for link in node["attrs"]["links"] if link["href"]]
        parts = " &#183; ".join(f'<a href="{attr(link["href"])}">{NETWORKS[link["network"]]}</a>' for link in links)
        return self._rich(f"<p>{parts}</p>", node["attrs"]["align"]) if parts else ""

    def _coupon(self, node: Node) -> str:
        attrs = node["attrs"]
        colour = attrs["color"] or self.theme["button"]
        box = f"margin:0;padding:16px;border:2px dashed {colour};border-radius:{self.theme['radius']}px;text-align:center"
        label = f'<span style="font-size:14px">{text(attrs["label"])}</span><br/>' if attrs["label"] else ""
        code = f'<strong style="font-size:24px;letter-spacing:2px;color:{colour}">{text(attrs["code"])}</strong>'
        return self._rich(f'<div class="k-code" style="{box}">{label}{code}</div>', "center")

    def _html(self, node: Node) -> str:
        """Wrapped in CDATA by a token that is put back after MRML: HTML is no XML. It is sanitised with the whole mail."""
        return f'<mj-text css-class="k-html" padding="0 24px">{xml_of(node["attrs"]["html"])}</mj-text>'

    # ---- words

    def inline(self, node: Node) -> str:
        return "".join(map(self._inline, node.get("content", [])))

    def _inline(self, node: Node) -> str:
        if node["type"] == "hardBreak":
            return "<br/>"
        if node["type"] == "mergeTag":
            return text(merge_tag(node["attrs"]["field"], node["attrs"]["fallback"]))
        said = text(node["text"])
        for mark in reversed(node.get("marks", [])):
            said = self._marked(said, mark)
        return said

    def _marked(self, said: str, mark: Node) -> str:
        simple = {"bold": "strong", "italic": "em", "underline": "u", "strike": "s"}
        if tag := simple.get(mark["type"]):
            return f"<{tag}>{said}</{tag}>"
        if mark["type"] == "link":
            return f'<a href="{attr(mark["attrs"]["href"])}">{said}</a>' if mark["attrs"]["href"] else said
        colour = mark["attrs"]["color"]
        return f'<span style="color:{colour}">{said}</span>' if colour else said

    def _picture(self, source: str) -> str:
        return self.base + source if source.startswith("/m/") else source


def merge_tag(name: str, fallback: str) -> str:
    """As the merge language writes it; what would end the fallback is taken out of it."""
    said = re.sub(r"[\"\\{}%]", "", fallback)
    return f'{{{{ member.{name} | default: "{said}" }}}}'


def condition(asked: Mapping[str, str]) -> tuple[str, str]:
    """What opens and closes it in the merge language; what would end its value is taken out."""
    name, value = f"member.{asked['field']}", re.sub(r"[\"\\{}%]", "", asked["value"])
    if asked["is"] == "empty":
        return f"{{% unless {name} %}}", "{% endunless %}"
    operator = {"filled": "", "is": f' == "{value}"', "is_not": f' != "{value}"', "contains": f' contains "{value}"'}[asked["is"]]
    return f"{{% if {name}{operator} %}}", "{% endif %}"


def attr(value: Any) -> str:
    """For an XML attribute: escaped, on one line."""
    return escape(re.sub(r"\s+", " ", str(value)), quote=True)


def text(value: str) -> str:
    """For XML text. The quotes of merge fields stay as they are; a newline is a space."""
    return escape(re.sub(r"[\n\r\t]+", " ", value), quote=False)


def xml_of(html_text: str) -> str:
    """HTML that somebody wrote as the XML that MRML reads; nothing of it where it cannot be read."""
    if not html_text.strip():
        return ""
    parser = etree.HTMLParser(remove_comments=True, no_network=True)
    root = etree.fromstring(f"<html><body>{html_text}</body></html>", parser)
    body = root.find("body") if root is not None else None
    if body is None:
        return ""
    inner = (body.text and escape(body.text, quote=False)) or ""
    inner += "".join(etree.tostring(child, encoding="unicode", method="xml") for child in body)
    return re.sub(r"[\n\r]+", " ", inner)
