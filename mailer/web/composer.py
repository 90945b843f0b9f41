"""What the block editor needs from the server: its words, the member's fields, and what a person may put into a mail."""

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import i18n, installation
from kairan.i18n import gettext as _
from kairan.models.audience import Attribute
from mailer.campaigns import library
from mailer.compose import document
from mailer.compose.findings import ContentError
from mailer.web import edge
from mailer.web.forms import Form


def words(session: Session) -> dict[str, Any]:
    """Everything the editor says, in the reader's language; goes into the page as JSON."""
    return {
        "kinds": _kinds(), "mail": _("The mail"), "blocks": _("Blocks"), "fields": fields(session), "mayHtml": edge.can("content.html"),
        "fallbacks": {"first_name": _("member")}, "networks": {**document.NETWORKS, "web": _("Web site")},
        "text": "", "heading": _("Headline"), "item": _("Item"), "quote": _("Quote"), "button": _("Read more"), "code": _("CODE"),
        "noPicture": _("No picture chosen yet"), "noPictures": _("There are no pictures yet: upload one."), "noLinks": _("No links yet"),
        "choosePicture": _("Choose a picture"), "otherPicture": _("Choose another picture"), "upload": _("Upload from this device"),
        "uploadFailed": _("The picture could not be uploaded."), "goBack": _("Go back"), "take": _("Use it"), "link": _("Link"),
        "removeLink": _("Remove the link"), "addLink": _("Add a link"), "network": _("Network"), "address": _("Leads to"),
        "addressHelp": _("https://…, mailto:… or tel:…"), "badAddress": _("An address begins with https://, mailto: or tel:"),
        "alt": _("Text instead of the picture"), "altHelp": _("For who sees no pictures. Empty for a mere ornament."),
        "width": _("Width in percent"), "radius": _("Round corners in pixels"), "align": _("Position"), "left": _("Left"),
        "center": _("Middle"), "right": _("Right"), "label": _("Words"), "background": _("Background"),
        "textColour": _("Colour of the words"),
        "colour": _("Colour"), "asTheme": _("As in the whole mail"), "full": _("As wide as the column"), "thickness": _("Thickness"),
        "height": _("Height in pixels"), "codeLabel": _("Code"), "htmlHelp": _("What is not safe in mail is taken out when it is sent."),
        "level": _("Size"), "level1": _("Title"), "level2": _("Headline"), "level3": _("Small headline"), "columns": _("Columns"),
        "padding": _("Space above and below"), "show": _("Shown"), "showAll": _("Everywhere"), "showPhone": _("On telephones only"),
        "showDesktop": _("On computers only"), "stack": _("Below each other on telephones"), "wholeMail": _("Whole mail"),
        "field": _("Field"), "fallback": _("Without a value"), "fallbackHelp": _("What stands there for members whose field is empty."),
        "inText": _("Write in the mail; the bar above it has the rest."), "contrast": _("Contrast"),
        "contrastGood": _("easy to read"), "contrastBad": _("too little: 4.5 : 1 is needed"), "font": _("Font"),
        "fonts": {"sans": _("Plain"), "serif": _("Serif"), "rounded": _("Rounded")}, "mailWidth": _("Width in pixels"),
        "dark": _("Adapt to dark mode"), "followBrand": _("Follow the brand"), "brandLink": _("Change the brand"),
        "logoHelp": _("Follows the brand; without a logo there stands the organisation's name."),
        "saveSection": _("Save for several mails"),
        "sectionName": _("Name of the section"), "replaceSaved": _("Replace the one of this name, in every mail that is yet to be sent"),
        "savedHelp": _("The same in every mail that holds it. Take it apart to change it."), "takeApart": _("Take it apart"),
        "savedGone": _("It is no longer there: take it out."), "brand": _brand(session),
        "saved": [{"id": row.id, "name": row.name, "section": row.section} for row in library.sections(session)],
        "forWhom": _("For whom"), "everybody": _("Everybody"), "whoseField": _("whose field"), "value": _("Value"), "onlyIf": _("Only if"),
        "conditions": {
            "filled": _("has a value"), "empty": _("is empty"), "is": _("is"), "is_not": _("is not"), "contains": _("contains"),
        },
        "product": _("Product"), "noProducts": _("No products yet: add them beside the mail."), "title": _("Name"), "price": _("Price"),
        "addProduct": _("Add a product"), "removeProduct": _("Remove the product"), "pasteTable": _("Paste a table"),
        "addTable": _("Add these products"),
        "pasteTableHelp": _("A line a product: name, text, price, address, as a spreadsheet copies them."),
        "theme": {
            "background": _("Around the mail"), "content": _("Mail"), "text": _("Text"), "heading": _("Headlines"), "link": _("Links"),
            "button": _("Buttons"), "buttonText": _("Words of buttons"),
        },
    }  # fmt: skip


def _brand(session: Session) -> dict[str, Any]:
    held = library.brand(session)
    name = installation.get(session, "organisation").get("name", "")
    if held is None:
        return {"theme": None, "logo": "", "name": name, "social": []}
    return {"theme": held.theme, "logo": held.logo, "name": held.logo_alt or name, "social": held.social}


def _kinds() -> dict[str, str]:
    return {
        "paragraph": _("Text"), "heading": _("Headline"), "image": _("Picture"), "button": _("Button"), "columns2": _("Two columns"),
        "columns3": _("Three columns"), "section": _("Section"), "bulletList": _("Bulleted list"), "orderedList": _("Numbered list"),
        "blockquote": _("Quote"), "divider": _("Line"), "spacer": _("Space"), "social": _("Social links"), "video": _("Film"),
        "logo": _("Logo"), "saved": _("Saved section"),
        "coupon": _("Coupon"), "products": _("Products"), "html": "HTML", "mergeTag": _("Merge field"),
    }  # fmt: skip


def fields(session: Session) -> dict[str, str]:
    """Name → what it is called: the member's own, then the installation's attributes."""
    built_in = {"first_name": _("First name"), "last_name": _("Last name"), "email": _("E-mail address"), "locale": _("Language")}
    own = session.scalars(select(Attribute).order_by(Attribute.name))
    japanese = i18n.language() == "ja"
    return built_in | {row.name: (row.label_ja if japanese else row.label_en) or row.name for row in own}


def read(form: Form, content: str, before: str) -> str:
    """The document as it is kept, or the form's error. `before` is what was saved last: HTML in it may stay, whoever saves."""
    try:
        found = document.read(content)
    except ContentError as error:
        form.wrong("content", error.message)
        return content
    if not edge.can("content.html") and _own_html(found) - _own_html(_parsed(before)):
        form.wrong("content", _("HTML of your own is for administrators."))
    return json.dumps(found, ensure_ascii=False)


def _own_html(found: dict[str, Any]) -> set[str]:
    waiting, html = [found.get("body", {})], set()
    while waiting:
        node = waiting.pop()
        if node.get("type") == "html":
            html.add(node.get("attrs", {}).get("html", ""))
        waiting += node.get("content", [])
    return html


def _parsed(content: str) -> dict[str, Any]:
    try:
        return document.read(content)
    except ContentError:
        return {}
