"""CSS into style attributes by premailer, with every way out of this process shut.

Plain premailer lets cssutils fetch `@import` and open `file:` with allow_network=False as well (RELIABILITY-SECURITY.md, 0.1).
"""

import logging
from typing import Any

import cssutils
from cssselect import SelectorError
from cssselect.xpath import ExpressionError
from lxml import etree
from lxml.cssselect import CSSSelector
from premailer import Premailer

cssutils.log.setLevel(logging.CRITICAL + 1)
cssutils.log.raiseExceptions = False


def inline(root: etree._Element) -> None:
    """The page's style sheets written into its elements as well; the sheets stay for phones and dark mode."""
    _DeafPremailer(
        root,
        allow_network=False,
        allow_loading_external_files=False,
        cache_css_parsing=False,
        # An image of `width: 100%` keeps the width="600" its author gave it for Outlook; `height: auto` is no attribute.
        disable_basic_attributes=["width", "height"],
        disable_link_rewrites=True,
        disable_validation=True,
        keep_style_tags=True,
        # Without it the !important of media queries goes, and dark mode and phone rules die.
        strip_important=False,
    ).transform()


def _nothing(url: str) -> None:
    return None


class _DeafPremailer(Premailer):  # type: ignore[misc]  # premailer is not typed
    """Premailer that reads nothing but what it was given."""

    def _parse_css_string(self, css_body: str, validate: bool = True) -> Any:
        parser = cssutils.CSSParser(fetcher=_nothing, validate=validate, raiseExceptions=False, loglevel=logging.CRITICAL + 1)
        return parser.parseString(css_body)

    def _parse_style_rules(self, css_body: str, ruleset_index: int) -> Any:
        rules, leftover = super()._parse_style_rules(css_body, ruleset_index)
        return [rule for rule in rules if _is_understood(rule[1])], leftover

    def _load_external_url(self, url: str) -> str:
        return ""

    def _load_external(self, url: str) -> str:
        return ""


def _is_understood(selector: str) -> bool:
    """A selector that lxml cannot follow stays in the sheet only."""
    try:
        CSSSelector(selector.split(":")[0] or selector)
        CSSSelector(selector)
    except (SelectorError, ExpressionError, etree.XPathError, ValueError):
        return False
    return True
