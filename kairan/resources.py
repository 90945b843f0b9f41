"""Data files (templates, catalogues, migrations, assets), found the same way in a checkout and in the wheel.

The packages lie side by side in both. `templates` does so in the checkout only: a wheel must not bring a top-level folder of that name,
so it carries it as `kairan/_data/templates`.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PLACES = (ROOT / "kairan/_data", ROOT)


def path(name: str) -> Path:
    """Where a data file of ours lies, e.g. `templates/pages`. Raises FileNotFoundError with its name if it is missing."""
    for place in _PLACES:
        if (place / name).exists():
            return place / name
    raise FileNotFoundError(f"{name} is not part of this installation")
