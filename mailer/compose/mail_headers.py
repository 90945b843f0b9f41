"""Header values written by us (RFC 2047, RFC 5322): stdlib `email` of 3.11 lets an encoded word smuggle headers and even a body.

No value can hold a control character or a line separator, and `=?` is broken up before it is encoded: the text we mean must not turn
into an encoded word in whatever reads and writes the mail after us.
"""

import re
from binascii import b2a_base64
from functools import lru_cache

from kairan.addresses import as_mailbox

FOLD = "\r\n "
LINE_MAX = 76
_CONTROL_OR_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NEEDS_CLEANING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\s\s|=\?|^\s|\s$")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_WORD_FRAME = len("=?utf-8?b??=")
_WORD_BYTES = 45


def clean(text: str) -> str:
    """The text on one line: runs of blanks and controls become a space, `=?` becomes `= ?`."""
    if not _NEEDS_CLEANING.search(text):
        return text
    return _CONTROL_OR_BLANK.sub(" ", text).replace("=?", "= ?").strip()


def unstructured(text: str, column: int) -> str:
    """Text such as a subject, folded; `column` is where it starts on its line."""
    text = clean(text)
    if text.isascii():
        if len(text) <= LINE_MAX - column:
            return text
        folded = _folded(text, column)
        if folded is not None:
            return folded
    return encoded_words(text, column)


def encoded_words(text: str, column: int) -> str:
    """RFC 2047 section 2: words of at most 75 characters, each of whole characters."""
    data = text.encode()
    words: list[str] = []
    start, room = 0, min(_WORD_BYTES, (LINE_MAX - column - _WORD_FRAME) // 4 * 3)
    while start < len(data):
        end = min(start + room, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?b?{b2a_base64(data[start:end], newline=False).decode()}?=")
        start, room = end, _WORD_BYTES
    return FOLD.join(words)


def mailbox(name: str, address: str, column: int) -> str:
    """`Name <address>`; the address is put as RFC 5321 wants it, odd local parts quoted. Raises AddressError."""
    if not _PLAIN_ADDRESS.fullmatch(address):
        address = as_mailbox(address)
    phrase = _phrase(clean(name), column)
    if not phrase:
        return address
    end = len(phrase) - phrase.rfind("\n") - 1 + (column if FOLD not in phrase else 0)
    return f"{phrase}{FOLD if end + len(address) + 3 > LINE_MAX else ' '}<{address}>"


@lru_cache(4_096)  # names repeat, and a mail's To is the dearest of its slots: 5 us without
def _phrase(name: str, column: int) -> str:
    if not name.isascii() or len(name) > LINE_MAX - column - 4:
        return encoded_words(name, column)
    if not name or _ATOMS.fullmatch(name):
        return name
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"' if len(quoted) <= LINE_MAX - column - 2 else encoded_words(name, column)


def _folded(text: str, column: int) -> str | None:
    """ASCII text broken at its spaces; None where a word alone is too long for a line."""
    lines: list[str] = []
    current, room = "", LINE_MAX - column
    for word in text.split(" "):
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current, room = word, LINE_MAX - 1
        else:
            current = f"{current} {word}" if current else word
        if len(current) > room:
            return None
    return FOLD.join([*lines, current])
