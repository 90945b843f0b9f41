"""Data files (templates, catalogues, migrations, assets), found the same way in a checkout and in the wheel.

In both, the packages `kairan`, `mailer`, `tracking`, `unsubscribe` and the folder `templates` lie side by side, so one root serves.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def path(name: str) -> Path:
    """Where a data file of ours lies, e.g. `templates/pages`. Raises FileNotFoundError with its name if it is missing."""
    found = ROOT / name
    if not found.exists():
        raise FileNotFoundError(f"{name} is not part of this installation")
    return found
