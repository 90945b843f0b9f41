"""What stands in the rail and the bottom bar, by role."""

import os
from dataclasses import dataclass, replace

from flask import request

from kairan.i18n import lazy_gettext as _
from mailer.demo_mail import FOLDER
from mailer.web import edge


@dataclass(frozen=True, slots=True)
class Item:
    href: str
    text: object
    icon: str
    action: str
    children: tuple["Item", ...] = ()
    current: str = ""
    """aria-current: `page`, or `true` for the area one is in"""
    first: bool = False
    """the area's own page, which the bar reaches by the area itself"""
    aside: bool = False
    """stands in the rail; the bar of a phone has no room for it and keeps it under More"""


AREAS = (
    Item("/", _("Home"), "house", "home.view"),
    Item("/campaigns", _("Campaigns"), "send", "campaign.view"),
    Item(
        "/audience",
        _("Audience"),
        "users",
        "member.view",
        (
            Item("/audience/members", _("Members"), "users", "member.view", first=True),
            Item("/audience/lists", _("Lists"), "list", "list.view"),
            Item("/audience/segments", _("Segments"), "filter", "list.view"),
            Item("/audience/imports", _("Imports"), "upload", "member.import"),
            Item("/audience/suppressions", _("Suppression list"), "ban", "suppression.view"),
        ),
    ),
    Item("/templates", _("Templates"), "layout-template", "campaign.view", aside=True),
    Item("/reports", _("Reports"), "chart-column", "report.view"),
    Item(
        "/settings",
        _("Settings"),
        "settings",
        "settings.view",
        (
            Item("/settings", _("Organisation"), "building-2", "settings.view", first=True),
            Item("/settings/providers", _("Mail servers"), "mail", "settings.edit"),
            Item("/settings/domains", _("Sending domains"), "key-round", "settings.edit"),
            Item("/settings/tracking", _("Opens and clicks"), "eye", "settings.view"),
            Item("/settings/webhooks", _("Webhooks"), "plug", "settings.edit"),
            Item("/settings/alerts", _("Alerts"), "circle-alert", "own.change"),
            Item("/settings/about", _("This installation"), "server", "settings.view"),
        ),
    ),
)


INBOX = Item("/demo/inbox", _("Demo inbox"), "inbox", "home.view", aside=True)


def items() -> list[Item]:
    areas = [*AREAS, INBOX] if os.environ.get(FOLDER) else AREAS
    return [_placed(item) for item in areas if edge.can(item.action)]


def _placed(item: Item) -> Item:
    children = tuple(replace(child, current=_is_current(child)) for child in item.children if edge.can(child.action))
    here = request.path == item.href or (item.href != "/" and request.path.startswith(item.href + "/"))
    current = "" if not here else "page" if request.path == item.href and not children else "true"
    return replace(item, children=children, current=current, href=children[0].href if children else item.href)


def _is_current(item: Item) -> str:
    if request.path == item.href:
        return "page"
    longest = request.path.startswith(item.href + "/") and item.href.count("/") > 1
    return "true" if longest else ""
