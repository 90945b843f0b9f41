"""DKIM signatures (RFC 6376, RFC 8463): RSA-2048 and Ed25519 side by side on one mail, relaxed/relaxed, bytes in and bytes out.

`cryptography` lets go of the GIL while OpenSSL computes, so two threads sign twice as much as one; all else here is a few bytes
methods per mail, because the RSA operation (about 260 µs) is to be what a signature costs.
"""

import ctypes
import re
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

RSA, ED25519 = "rsa", "ed25519"
ALGORITHMS = (RSA, ED25519)
RSA_BITS = 2048

SIGNED = (
    b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"list-unsubscribe", b"list-unsubscribe-post", b"list-id",
    b"feedback-id", b"mime-version", b"content-type", b"content-transfer-encoding",
)  # fmt: skip
"""where a mail has them; a From more than there is is named too, so that none can be put in front of ours"""
_WANTED = frozenset(SIGNED)
_BLANKS = re.compile(rb"[ \t]+")
_FOLD = b"\r\n "
_SIGNATURE_COLUMNS = 72
_MEMO_SIZE = 500
_RUNS = (b" " * 16, b" " * 4, b"  ")
"""replaced one after the other, the longest first: an indented line takes two rounds instead of four"""
_PADDING, _SHA256 = padding.PKCS1v15(), hashes.SHA256()


class NoHeaders(ValueError):
    """The message has no From, or no blank line after its headers: nothing a signature could stand for."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key under the name its public half has in the DNS: `selector._domainkey.domain`."""

    domain: str
    selector: str
    algorithm: str
    private: bytes = field(repr=False)
    """PKCS#8, DER"""

    def operation(self) -> Callable[[bytes], bytes]:
        """What turns the data to be signed into the signature's bytes."""
        # Not checked again: it was made here and has lain sealed since; the check costs as much as a hundred signatures.
        key = serialization.load_der_private_key(self.private, None, unsafe_skip_rsa_key_validation=True)
        if isinstance(key, rsa.RSAPrivateKey) and self.algorithm == RSA:
            sign_rsa = key.sign
            return lambda data: sign_rsa(data, _PADDING, _SHA256)
        if isinstance(key, ed25519.Ed25519PrivateKey) and self.algorithm == ED25519:
            sign_hash = key.sign
            return lambda data: sign_hash(sha256(data).digest())  # RFC 8463 3: the hash is what is signed
        raise ValueError(f"the key of {self.selector} is not {self.algorithm}")


def new_key(algorithm: str) -> tuple[bytes, str]:
    """(private key as PKCS#8 DER, public key as the DNS record's `p=`)."""
    if algorithm == RSA:
        key = rsa.generate_private_key(65537, RSA_BITS)
        public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return _der(key), _base64(public).decode()
    own = ed25519.Ed25519PrivateKey.generate()
    return _der(own), _base64(own.public_key().public_bytes_raw()).decode()


def _der(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def record(algorithm: str, public: str) -> str:
    """The TXT record to publish."""
    return f"v=DKIM1; k={algorithm}; p={public}"


class Signer:
    """Signs whole messages with every key given. May be used by several threads at once."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        if not keys:
            raise ValueError("a signer needs at least one key")
        self._keys = [(key, key.operation()) for key in keys]
        self._plans: dict[tuple[bytes, ...], _Plan] = {}
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}

    def sign(self, message: bytes) -> bytes:
        """The message with its DKIM-Signature headers in front. Raises NoHeaders.

        Where as many lanes run as there are cores, signing in the loop itself is fastest (two lanes on two cores: 5,800 a second, by
        threads 4,900). A lane alone gains by threads, most in pieces of about four (sign_many: 4,400; one by one 3,800; in the loop 2,900).
        """
        return self.signatures(message) + message

    def signatures(self, message: bytes) -> bytes:
        """The DKIM-Signature headers alone, for whoever writes them and the message one after the other (a copy less: 6 µs)."""
        blank = message.find(b"\r\n\r\n")
        if blank < 0:
            raise NoHeaders("the message has no blank line after its headers")
        known = self._lines
        headers = [known.get(line) or self._read(line) for line in _unfolded(message[:blank])]
        names = tuple([name for name, _canonical in headers])
        plan = self._plans.get(names) or self._plan(names)
        data = b"".join([headers[at][1] for at in plan.order])
        told = b"%d; bh=%b;" % (time.time(), _base64(body_hash(message, blank + 4)))
        return b"".join([signature.header(data, told) for signature in plan.signatures])

    def sign_many(self, messages: Iterable[bytes]) -> list[bytes]:
        """One piece of work for a thread: handing over costs a thread switch a piece instead of one a mail."""
        return [self.sign(message) for message in messages]

    def _read(self, line: bytes) -> tuple[bytes, bytes]:
        """Name and relaxed form of an unfolded header; most are the same in every mail of a campaign and are read once."""
        if len(self._lines) >= _MEMO_SIZE:
            self._lines.clear()
        read = self._lines[line] = _relaxed(line)
        return read

    def _plan(self, names: tuple[bytes, ...]) -> "_Plan":
        if len(self._plans) >= _MEMO_SIZE:
            self._plans.clear()
        made = self._plans[names] = _Plan(self._keys, names)
        return made


class _Plan:
    """What to sign in mails with these headers, and in which order."""

    def __init__(self, keys: Sequence[tuple[SigningKey, Callable[[bytes], bytes]]], names: Sequence[bytes]) -> None:
        if b"from" not in names:
            raise NoHeaders("the message has no From")
        places: dict[bytes, list[int]] = {}
        for at, name in enumerate(names):
            places.setdefault(name, []).insert(0, at)  # of one name the last is signed first (RFC 6376 5.4.2)
        self.order = [at for name in SIGNED for at in places.get(name, ())]
        told = [b"from", *[names[at] for at in self.order]]
        self.signatures = [_Prepared(key, operation, told) for key, operation in keys]


class _Prepared:
    """One key for one set of header names: all of the signature's header that does not change from mail to mail."""

    def __init__(self, key: SigningKey, operation: Callable[[bytes], bytes], names: Sequence[bytes]) -> None:
        self._operation = operation
        self._written = b"DKIM-Signature: v=1; a=%b-sha256; c=relaxed/relaxed;%bd=%b;%bs=%b;%bh=%b;%bt=" % (
            key.algorithm.encode(), _FOLD, key.domain.encode("ascii"), _FOLD, key.selector.encode("ascii"), _FOLD, _folded(names), _FOLD,
        )  # fmt: skip
        self._canonical = b"dkim-signature:" + self._written.partition(b": ")[2].replace(_FOLD, b" ")

    def header(self, headers: bytes, told: bytes) -> bytes:
        """`told`: time and body hash. The signature's own header is signed with an empty `b=` and without its last line break."""
        signature = _base64(self._operation(b"%b%b%b b=" % (headers, self._canonical, told)))
        lines = _FOLD.join([signature[at : at + _SIGNATURE_COLUMNS] for at in range(0, len(signature), _SIGNATURE_COLUMNS)])
        return b"%b%b%bb=%b\r\n" % (self._written, told, _FOLD, lines)


def _folded(names: Sequence[bytes]) -> bytes:
    """The `h=` list; a line break may stand after a colon."""
    lines, current = [], b""
    for name in names:
        if len(current) + len(name) > _SIGNATURE_COLUMNS - 4:
            lines.append(current)
            current = b""
        current += name + b":"
    return _FOLD.join([*lines, current])[:-1]


def _relaxed(line: bytes) -> tuple[bytes, bytes]:
    """RFC 6376 3.4.2; nothing for a header that is not signed."""
    name, _colon, value = line.partition(b":")
    name = name.rstrip(b" \t").lower()
    if name not in _WANTED:
        return b"", b""
    return name, b"%b:%b\r\n" % (name, _BLANKS.sub(b" ", value).strip(b" "))


def _unfolded(head: bytes) -> list[bytes]:
    head = head.replace(b"\r\n ", b" ")
    return (head.replace(b"\r\n\t", b" ") if b"\t" in head else head).split(b"\r\n")


def body_hash(message: bytes, start: int = 0) -> bytes:
    """SHA-256 of the relaxed body (RFC 6376 3.4.4), which is what stands from `start` on.

    The usual message has no white space to reduce anywhere, and is hashed where it lies.
    """
    if message.endswith(b"\r\n") and not _reducible(message):
        return sha256(memoryview(message)[start : _end(message, start)]).digest()
    body = _reduced(message[start:])
    return sha256(memoryview(body)[: _end(body, 0)]).digest()


def _end(body: bytes, start: int) -> int:
    """Where the last line that is not empty ends."""
    end = len(body)
    while body.endswith(b"\r\n\r\n", start, end):
        end -= 2
    return start if end - start == 2 and body.endswith(b"\r\n", start, end) else end


def _reducible(text: bytes) -> bool:
    if b"\t" in text:
        return True
    if _strstr is None or b"\0" in text:
        return b"  " in text or b" \r\n" in text
    return _strstr(text, b"  ") is not None or _strstr(text, b" \r\n") is not None


def _reduced(body: bytes) -> bytes:
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    body = body.replace(b"\t", b" ")
    for run in _RUNS:
        while run in body:
            body = body.replace(run, b" ")
    return body.replace(b" \r\n", b"\r\n")


def _c_search() -> "Callable[[bytes, bytes], int | None] | None":
    """The C library's strstr: 0.7 µs for 20 KB, where `in` takes 20 for two bytes and a pattern 200, all with the GIL held."""
    try:
        search = ctypes.PyDLL(None).strstr
    except (AttributeError, OSError, TypeError):
        return None
    search.argtypes, search.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_void_p
    return search


_strstr = _c_search()


def _base64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)
