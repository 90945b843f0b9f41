"""HTTP to addresses that somebody else chose: never into our own network, never elsewhere than asked, never for longer than said.

The name is resolved once and the connection goes to the address that was checked, with SNI and Host of the name, so a name that answers
otherwise the second time gains nothing (DNS rebinding). Every answer of the resolver must be public. No redirect is followed, no proxy
of the environment used, no cookie kept; the whole exchange has one deadline and the answer a greatest size.
"""

import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from kairan.i18n import gettext as _

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

TIMEOUT_S = 5.0
ANSWER_MAX = 64 * 1024
PORTS = {"http": 80, "https": 443}
_EMBEDDING = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "::/96", "fec0::/10")]
"""IPv6 that leads to an IPv4 address inside it, or to a site of old: NAT64, Teredo, 6to4, compatible, site-local"""


class Refused(ValueError):
    """The address may not be asked, now or ever; the message says why."""


class Unreachable(OSError):
    """It did not answer, not in time, or not HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is as far as it was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == PORTS[self.scheme] else f"{shown}:{self.port}"


def check(url: str, *, private: Sequence[Network] = (), resolve: "Resolver | None" = None) -> None:
    """Raises Refused or Unreachable where a request could not be made: for a form, before it is saved."""
    target = _target(url)
    _checked(target, private, resolve or _resolve, time.monotonic() + TIMEOUT_S)


def post(url: str, body: bytes, headers: Mapping[str, str], **options: Any) -> Answer:
    """See `request`."""
    return request("POST", url, body=body, headers=headers, **options)


def request(
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    private: Sequence[Network] = (),
    timeout_s: float = TIMEOUT_S,
    answer_max: int = ANSWER_MAX,
    resolve: "Resolver | None" = None,
    trusted: ssl.SSLContext | None = None,
) -> Answer:
    """One request. `private`: networks that the operator lets us into, on any port; all else is public, on port 80 or 443.

    A redirect is an answer like any other. Raises Refused and Unreachable.
    """
    until = time.monotonic() + timeout_s
    target = _target(url)
    head = _head(method, target, body, headers or {})
    addresses = _checked(target, private, resolve or _resolve, until)
    with _connection(target, addresses, until, trusted) as connection:
        try:
            connection.settimeout(_left(until))
            connection.sendall(head + body)
            return _answer(connection, method, until, answer_max)
        except (OSError, HTTPException) as error:
            raise Unreachable(_("it did not answer as a web server does")) from error


def allowed_networks(text: str) -> tuple[Network, ...]:
    """Of a setting such as `10.20.0.0/16, 127.0.0.1`. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


# ---- who may be asked


def _target(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise Refused(_("this is no web address")) from error
    if parts.scheme not in PORTS or not host:
        raise Refused(_("the address must begin with https:// or http://"))
    if parts.username is not None or parts.password is not None:
        raise Refused(_("the address must not hold a user name or password"))
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise Refused(_("the address holds a character that does not belong there"))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(parts.scheme, host, port or PORTS[parts.scheme], path)


def _checked(target: _Target, private: Sequence[Network], resolve: Resolver, until: float) -> list[Address]:
    """Every address of the name, once none of them is one that must not be asked."""
    found = [ipaddress.ip_address(text.partition("%")[0]) for text in _in_time(resolve, target, until)]
    if not found:
        raise Unreachable(_("the name has no address"))
    for address in found:
        plain = _plain(address)
        if any(plain in network for network in private if network.version == plain.version):
            continue
        if not _is_public(plain):
            raise Refused(_("%(host)s is not on the public internet", host=target.host))
        if target.port not in PORTS.values():
            raise Refused(_("only ports 80 and 443 are asked"))
    return found


def _plain(address: Address) -> Address:
    """::ffff:127.0.0.1 is 127.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_public(address: Address) -> bool:
    embeds = isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _EMBEDDING)
    return address.is_global and not (embeds or address.is_multicast or address.is_reserved or address.is_unspecified)


def _resolve(host: str, port: int) -> Sequence[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _in_time(resolve: Resolver, target: _Target, until: float) -> Sequence[str]:
    """The system's resolver has no deadline of its own, so it is waited for from outside."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(resolve(target.host, target.port))
        except (OSError, ValueError) as error:  # UnicodeError: no name there can be
            answers.put(error)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=_left(until))
    except queue.Empty:
        raise Unreachable(_("the name was not resolved in time")) from None
    if isinstance(found, Exception):
        raise Unreachable(_("the name cannot be resolved")) from found
    return found


# ---- asking


def _connection(target: _Target, addresses: Sequence[Address], until: float, trusted: ssl.SSLContext | None) -> socket.socket:
    """To the first address that takes it."""
    for address in addresses:
        try:
            plain = socket.create_connection((str(address), target.port), timeout=_left(until))
        except OSError:
            continue
        if target.scheme == "http":
            return plain
        try:
            return (trusted or ssl.create_default_context()).wrap_socket(plain, server_hostname=target.host)
        except (OSError, ValueError) as error:
            plain.close()
            raise Unreachable(_("TLS fails: %(reason)s", reason=getattr(error, "verify_message", "") or type(error).__name__)) from error
    raise Unreachable(_("nothing answers there"))


def _head(method: str, target: _Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.authority}", "Connection: close", "Accept-Encoding: identity"]
    lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise Refused(_("a header must not hold a line break"))
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise Unreachable(_("it did not answer in time"))
    return left


class _Bounded(io.RawIOBase):
    """A connection that is read until a moment and no further, however slowly it drips, and so many bytes at most."""

    def __init__(self, connection: socket.socket, until: float, bytes_max: int) -> None:
        self._connection, self._until, self._room = connection, until, bytes_max

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._room <= 0:
            return 0
        self._connection.settimeout(_left(self._until))
        count = self._connection.recv_into(memoryview(buffer)[: self._room])
        self._room -= count
        return count


class _Reading:
    """What HTTPResponse wants of a socket."""

    def __init__(self, raw: _Bounded) -> None:
        self._raw = raw

    def makefile(self, *_mode: Any, **_options: Any) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


def _answer(connection: socket.socket, method: str, until: float, answer_max: int) -> Answer:
    response = HTTPResponse(_Reading(_Bounded(connection, until, answer_max + ANSWER_MAX)), method=method)  # type: ignore[arg-type]
    response.begin()
    body = response.read(answer_max)
    if response.length and len(body) < answer_max:
        raise Unreachable(_("the answer ended early"))
    return Answer(response.status, dict(response.getheaders()), body)
