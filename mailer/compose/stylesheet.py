"""Author's CSS made harmless, and its dark mode switched for previews; read and written by tinycss2."""

import re
from collections.abc import Iterable
from typing import Any

import tinycss2

_DENIED_AT_RULES = frozenset({"import", "charset", "namespace"})
_DENIED_PROPERTIES = frozenset({"behavior", "-moz-binding"})
_DENIED_FUNCTIONS = frozenset({"expression"})
_WEB = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_ENCLOSED = {"() block", "[] block", "{} block", "function"}


def harmless(css: str) -> str:
    """A sheet or a style attribute without @import, without addresses that are not http(s), without code."""
    return _written(_kept(tinycss2.parse_component_value_list(css)))


def in_scheme(css: str, dark: bool) -> str:
    """The sheet as it looks where dark mode is on or off: a frame follows the reader's system, not the page that holds it."""
    tokens = tinycss2.parse_component_value_list(css)
    _switch(tokens, dark)
    return _written(tokens)


def _written(tokens: list[Any]) -> str:
    # A string token may hold `</style>` written as escapes; `<\/` is the same text to CSS and no end tag to HTML.
    return str(tinycss2.serialize(tokens)).replace("</", "<\\/").replace("<!--", "<\\!--")


def _kept(tokens: Iterable[Any]) -> list[Any]:
    done: list[Any] = []
    skipping = False
    for token in tokens:
        if skipping:
            # An at-rule that is denied ends with its semicolon or its block.
            skipping = not (token == ";" or token.type == "{} block")
        elif token.type == "at-keyword" and token.lower_value in _DENIED_AT_RULES:
            skipping = True
        elif token.type in ("comment", "error"):
            continue
        else:
            done.append(_safe(token))
    return done


def _safe(token: Any) -> Any:
    if token.type == "url" and not _WEB.match(token.value.strip()):
        return _nothing(token)
    if token.type == "ident" and token.lower_value in _DENIED_PROPERTIES:
        return _nothing(token)
    if token.type == "function":
        return _safe_function(token)
    if token.type in _ENCLOSED:
        token.content = _kept(token.content)
    return token


def _safe_function(token: Any) -> Any:
    name = token.lower_name
    if name in _DENIED_FUNCTIONS:
        return _nothing(token)
    if name in ("url", "src", "image-set", "-webkit-image-set", "image") and any(
        part.type == "string" and not _WEB.match(part.value.strip()) and "(" not in part.value for part in token.arguments
    ):
        return _nothing(token)
    token.arguments = _kept(token.arguments)
    return token


def _nothing(token: Any) -> Any:
    return tinycss2.ast.IdentToken(token.source_line, token.source_column, "none")


def _switch(tokens: list[Any], dark: bool) -> None:
    for token in tokens:
        content = getattr(token, "content", None)
        if content is None:
            continue
        if token.type == "() block" and _feature(content) == "prefers-color-scheme":
            wanted = any(part.type == "ident" and part.lower_value == ("dark" if dark else "light") for part in content)
            token.content = tinycss2.parse_component_value_list("min-width:0" if wanted else "max-width:0")
        else:
            _switch(content, dark)


def _feature(content: list[Any]) -> str:
    first = next((part for part in content if part.type != "whitespace"), None)
    return str(first.lower_value) if first is not None and first.type == "ident" else ""
