"""Quoted-printable (RFC 2045 6.7) in pieces that can be put beside each other without looking at their neighbours.

Every piece begins and ends at column 0 (a soft break closes it where its text does not end in a line break), so no line's length
depends on a value. A dot at column 0 is always `=2E`: there is no dot-stuffing pass, and the body that DKIM signs is the one on the wire.
"""

import re
from binascii import b2a_qp

LINE_MAX = 75
"""and one column for the `=` of a soft break: 76"""
SOFT_BREAK = b"=\r\n"
# `=2E` and `=46` may each add two columns to what stands at column 0.
_SHORT_MAX = LINE_MAX - 2
_TO_QUOTE = re.compile(rb"[^!-<>-~ ]").search
_BLANK = b" \t"
_WRITTEN = [bytes([code]) if (33 <= code <= 126 and code != 61) or code in _BLANK else b"=%02X" % code for code in range(256)]


def quoted(data: bytes) -> bytes:
    """Any text with `\\n` line breaks, which become CRLF."""
    if not data:
        return b""
    short = _short(data)
    if short is not None:
        return short
    lines = data.split(b"\n")
    closing = SOFT_BREAK if lines[-1] else b""
    return b"\r\n".join(map(_line, lines)) + closing


def _short(data: bytes) -> bytes | None:
    """The usual value, a name of a few characters, without a loop: 0.3 us; None if it is not of that kind."""
    if len(data) > _SHORT_MAX or b"\n" in data:
        return None
    if _TO_QUOTE(data):
        data = b2a_qp(data, istext=False)
        if len(data) > _SHORT_MAX:
            return None
    if data[0] == 46:
        data = b"=2E" + data[1:]
    elif data.startswith(b"From "):
        data = b"=46" + data[1:]
    return data + SOFT_BREAK


def _line(line: bytes) -> bytes:
    """One line of text as lines of at most 75 columns, soft breaks between them."""
    done: list[bytes] = []
    current = bytearray()
    last = len(line) - 1
    for position, code in enumerate(line):
        token = b"=%02X" % code if code in _BLANK and position == last else _WRITTEN[code]
        if len(current) + len(token) > LINE_MAX:
            done.append(bytes(current) + b"=")
            current = bytearray()
        if not current and (code == 46 or (code == 70 and line.startswith(b"From ", position))):
            token = b"=%02X" % code
        current += token
    done.append(bytes(current))
    return b"\r\n".join(done)
