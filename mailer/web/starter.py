"""What a new campaign begins with, in the words of the reader's language; starters of their own have their place in the templates issue."""

from kairan import i18n, resources


def content(start: str, organisation: str) -> str:
    """`letter`, `blank` or `text`: a source to write on."""
    folder = resources.path("templates/mail/starters")
    suffix = "txt" if start == "text" else "html"
    name = f"{start}.{i18n.language()}.{suffix}"
    path = folder / name
    if not path.exists():
        path = folder / f"{start}.en.{suffix}"
    return path.read_text("utf-8").replace("ORGANISATION", organisation or "Kairan")
