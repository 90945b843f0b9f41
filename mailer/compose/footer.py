"""The standard footer: who sent this, from where, whom to complain to, how to stop it, what is recorded, in the member's language.

What the law asks of every mail (特定電子メール法, CAN-SPAM, CASL) stands here and nowhere else: sender, address, contact, opt-out.
"""

import re
from dataclasses import dataclass, field
from html import escape

from kairan.i18n import gettext as _
from kairan.i18n import speaking
from mailer.compose.brand import Brand
from mailer.compose.document import NETWORKS
from mailer.compose.nodes import Node, Nodes, OwnUrl, Text, joined

_STYLE = "margin:0;padding:24px 16px;font:12px/1.6 -apple-system,'Segoe UI','Hiragino Sans','Noto Sans JP',Meiryo,sans-serif;"
_COLOUR = "color:#6b7280"
_RULE = "-" * 40
_EMAIL = re.compile(r"[^\s@<>()]+@[^\s@<>()]+\.[^\s@<>()]+")


@dataclass(frozen=True, slots=True)
class Organisation:
    """The sender, as the law wants it named in each mail."""

    name: str
    address: str
    contact: str
    brand: Brand | None = field(default=None, hash=False)
    """its footer words and social links stand above what the law asks for"""


def links(language: str) -> list[tuple[str, str]]:
    """Our own links with their names in this language, in the footer's order."""
    with speaking(language):
        return [
            (_("Unsubscribe"), "unsubscribe_url"),
            (_("Choose what you receive"), "preferences_url"),
            (_("What this mail records"), "tracking_info_url"),
        ]


def html(organisation: Organisation, language: str, *, own_links: bool = True) -> Nodes:
    """A block of its own: its styles are inline, so the author's sheets and ours do not meet."""
    with speaking(language):
        contact = _contact(organisation.contact)
        opening = f'<div class="k-footer" role="contentinfo" lang="{language}" style="{_STYLE}{_COLOUR};text-align:center">'
        sender = f"<strong>{escape(organisation.name)}</strong><br>{_lines(organisation.address)}<br>"
        sender = f"{_of_brand(organisation.brand, language)}{sender}"
        why = escape(_("You can stop these mails at any time, free of charge and without signing in."))
        nodes: list[Node] = [Text(f"{opening}{sender}{escape(_('Contact and complaints:'))} {contact}")]
    if not own_links:
        return joined([*nodes, Text("</div>")])
    nodes.append(Text(f"<br>{why}<br>"))
    for position, (name, own) in enumerate(links(language)):
        separator = " &nbsp;·&nbsp; " if position else ""
        nodes += [Text(f'{separator}<a href="'), OwnUrl(own), Text(f'" style="{_COLOUR};text-decoration:underline">{escape(name)}</a>')]
    return joined([*nodes, Text("</div>")])


def text(organisation: Organisation, language: str, *, own_links: bool = True) -> Nodes:
    with speaking(language):
        contact = _("Contact and complaints:")
        why = _("You can stop these mails at any time, free of charge and without signing in.")
    address = "\n".join(line.strip() for line in organisation.address.splitlines())
    nodes: list[Node] = [
        Text(f"\n{_RULE}\n{_text_of_brand(organisation.brand, language)}{organisation.name}\n{address}\n{contact} {organisation.contact}\n")
    ]
    if not own_links:
        return joined(nodes)
    nodes.append(Text(f"\n{why}\n"))
    for name, own in links(language):
        nodes += [Text(f"{name}: "), OwnUrl(own), Text("\n")]
    return joined(nodes)


def _of_brand(brand: Brand | None, language: str) -> str:
    if brand is None:
        return ""
    style = f'style="{_COLOUR};text-decoration:underline"'
    links_of = [link for link in brand.social if link["href"]]
    social = " &nbsp;·&nbsp; ".join(f'<a href="{escape(link["href"])}" {style}>{NETWORKS[link["network"]]}</a>' for link in links_of)
    words = _lines(brand.footer(language)) if brand.footer(language) else ""
    return "".join(f"{part}<br>" for part in (social, words) if part)


def _text_of_brand(brand: Brand | None, language: str) -> str:
    if brand is None:
        return ""
    social = [f"{NETWORKS[link['network']]}: {link['href']}" for link in brand.social if link["href"]]
    return "".join(f"{line}\n" for line in (*social, *filter(None, [brand.footer(language)])))


def _lines(text_of_address: str) -> str:
    return "<br>".join(escape(line.strip()) for line in text_of_address.splitlines())


def _contact(contact: str) -> str:
    """A mail or web address as a link, anything else (a telephone number, a form's name) as it is."""
    written = escape(contact)
    style = f'style="{_COLOUR};text-decoration:underline"'
    if _EMAIL.fullmatch(contact.strip()):
        return f'<a href="mailto:{escape(contact.strip())}" {style}>{written}</a>'
    if re.match(r"https?://", contact.strip()):
        return f'<a href="{escape(contact.strip())}" {style}>{written}</a>'
    return written
