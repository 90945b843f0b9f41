"""The versions of a campaign: up to four variants (A/B), and one a language, each only where it differs from the one it follows.

A key says which: `a` is the mail itself, `b` to `d` are variants of it, `ja` or `en` its language versions, `b-ja` a variant in a
language. What a version does not change follows `a`; in `b-ja` it follows `ja`, then `b`, then `a`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kairan import i18n
from mailer.campaigns.revisions import Content

VARIANTS = ("a", "b", "c", "d")
MAIN = "a"
FIELDS = ("subject", "preheader", "from_name", "from_email", "reply_to", "kind", "content", "text")
_TOGETHER = ("kind", "content", "text")
"""a content without its kind says nothing"""


class VersionError(ValueError):
    """The reason as a key: `unknown`, `there`, `too_many`, `main`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One version as it goes out: the place of its variant (0 is A), the languages of members who get it, what it says."""

    key: str
    variant: int
    languages: tuple[str, ...]
    content: Content


def split(key: str) -> tuple[str, str]:
    """(variant, language or ''). Raises VersionError."""
    first, _dash, second = key.partition("-")
    if not second and first in i18n.LANGUAGES:
        return MAIN, first
    if first not in VARIANTS or second not in ("", *i18n.LANGUAGES):
        raise VersionError("unknown")
    return first, second


def join(variant: str, language: str) -> str:
    if not language:
        return variant
    return language if variant == MAIN else f"{variant}-{language}"


def variants(content: Content) -> list[str]:
    """`a`, and those there are beside it."""
    return [name for name in VARIANTS if name == MAIN or name in content.versions]


def languages(content: Content) -> list[str]:
    """That have a version of their own."""
    return [name for name in i18n.LANGUAGES if name in content.versions]


def keys(content: Content) -> list[str]:
    """All versions, `a` first: each variant in each language that has a version."""
    return [join(variant, language) for variant in variants(content) for language in ("", *languages(content))]


def has(content: Content, key: str) -> bool:
    return key in keys(content)


def effective(content: Content, key: str) -> Content:
    """What the version says, without versions of its own. Raises VersionError."""
    if not has(content, key):
        raise VersionError("unknown")
    return _laid(content, (*split(key), key))


def _laid(content: Content, steps: Iterable[str]) -> Content:
    """The mail with what these versions say laid over it, one after the other."""
    said = replace(content, versions={})
    for step in steps:
        said = replace(said, **_known(content.versions.get(step, {})))
    return said


def _known(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name in FIELDS}


def changed(content: Content, key: str, changes: Mapping[str, object]) -> Content:
    """The content with this version saying what is given: what is as in the version it follows is not kept. Raises VersionError."""
    if key == MAIN:
        return replace(content, **changes)  # type: ignore[arg-type]
    after = asdict(replace(effective(content, key), **changes))  # type: ignore[arg-type]
    followed = asdict(_laid(content, (name for name in split(key) if name != key)))
    own = {name: after[name] for name in FIELDS if after[name] != followed[name]}
    if any(name in own for name in _TOGETHER):
        own |= {name: after[name] for name in _TOGETHER}
    return replace(content, versions={**content.versions, key: own})


def follows_content(content: Content, key: str) -> bool:
    """Whether the version has no body of its own."""
    return key != MAIN and "content" not in content.versions.get(key, {})


def with_variant(content: Content) -> tuple[Content, str]:
    """One more variant, which says what A says. Raises VersionError."""
    free = [name for name in VARIANTS if name not in variants(content)]
    if not free:
        raise VersionError("too_many")
    return replace(content, versions={**content.versions, free[0]: {}}), free[0]


def with_language(content: Content, language: str) -> Content:
    """A version for members of that language, which says what A says. Raises VersionError."""
    if language not in i18n.LANGUAGES:
        raise VersionError("unknown")
    if language in content.versions:
        raise VersionError("there")
    return replace(content, versions={**content.versions, language: {}})


def without(content: Content, key: str) -> Content:
    """Without a variant (the later ones move up) or a language, in all their combinations. Raises VersionError."""
    variant, language = split(key)
    if not has(content, key):
        raise VersionError("unknown")
    if variant != MAIN and language:
        raise VersionError("main")  # a variant in a language goes with its variant or its language
    if key == MAIN:
        raise VersionError("main")
    if language:
        kept = {name: said for name, said in content.versions.items() if split(name)[1] != language}
        return replace(content, versions=kept)
    moved = {}
    for name, said in content.versions.items():
        of, speaking = split(name)
        if of != variant:
            moved[join(chr(ord(of) - 1) if of > variant else of, speaking)] = said
    return replace(content, versions=moved)


def parts(content: Content) -> list[Part]:
    """All that is to be compiled. A variant without language versions serves every language."""
    spoken = languages(content)
    found = []
    for place, variant in enumerate(variants(content)):
        for language in ("", *spoken):
            served = (language,) if language else tuple(name for name in i18n.LANGUAGES if name not in spoken)
            if served:
                key = join(variant, language)
                found.append(Part(key, place, served, effective(content, key)))
    return found


def checked(versions: Any) -> dict[str, dict[str, Any]]:
    """Versions as they may be kept. Raises VersionError."""
    if not isinstance(versions, dict):
        raise VersionError("unknown")
    for name, said in versions.items():
        split(name)
        if name == MAIN or not isinstance(said, dict) or not said.keys() <= set(FIELDS):
            raise VersionError("unknown")
    return versions
