"""The built styles, scripts and icons, by the names in the manifest that frontend/build.js writes."""

import json

from markupsafe import Markup

from kairan import resources

DIST = "mailer/static/dist"


def are_built() -> bool:
    return bool(manifest())


def url(name: str) -> str:
    """Where `app.css` and the like are now; the hash in the name makes it cacheable for ever."""
    return f"/static/dist/{manifest().get(name, name)}"


def icon(name: str, size: str = "") -> Markup:
    """A Lucide icon as inline SVG, decorative: the word beside it says what it means."""
    body = Markup(icons().get(name, ""))
    return Markup('<svg class="icon{}" viewBox="0 0 24 24" aria-hidden="true">{}</svg>').format(f" {size}" if size else "", body)


def manifest() -> dict[str, str]:
    return _read("manifest.json")


def icons() -> dict[str, str]:
    # The stylesheet says how wide and in which colour icons are drawn; attributes on the paths would win over it.
    found = _read("icons.json")
    for name, body in found.items():
        if _DRAWN in body:
            found[name] = body.replace(_DRAWN, "")
    return found


_DRAWN = ' fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" stroke-width="2"'
_found: dict[str, tuple[int, dict[str, str]]] = {}


def _read(name: str) -> dict[str, str]:
    """A built file, read again when it was built again: a checkout may be started before `make assets` has run."""
    try:
        changed = (resources.ROOT / DIST / name).stat().st_mtime_ns
    except FileNotFoundError:
        return {}
    if name not in _found or _found[name][0] != changed:
        _found[name] = changed, json.loads((resources.ROOT / DIST / name).read_text("utf-8"))
    return _found[name][1]
