"""`GET /o/TOKEN.gif` and `GET /c/TOKEN/N` in front of Flask: one MAC, one look into memory, one append, and the answer.

65,000 requests a second a process against 5,400 through a Flask route (BENCHMARKS.md 6). It answers also while database or Redis are
away. Whatever is wrong with a token or link, the application behind answers it: the same 404 for every kind.
"""

from collections.abc import Callable, Iterable
from socket import AF_INET6, inet_aton, inet_pton
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from kairan.models.events import EventKind
from kairan.queues import redis_url
from kairan.runtime import Runtime
from kairan.tokens import TOKEN_LENGTH, TokenError
from tracking.buffer import TARGET_UNKNOWN, Buffer, unretried
from tracking.machines import PREFETCH
from tracking.packing import LINK_MAX
from tracking.sites import Sites
from tracking.targets import Target, Targets, TargetUnavailable, location

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Resolver = Callable[[int, int, str], str | None]
"""(campaign, delivery number, the link's address with merge fields) → the member's own address, None when it cannot be made"""

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""43 bytes, one transparent pixel"""
_TOKEN_END = 3 + TOKEN_LENGTH
_OPEN, _CLICK = int(EventKind.OPEN), int(EventKind.CLICK)
_PREFETCH = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
_LINKS = {f"/{number}": number for number in range(1, 200)}
_MAPPED = bytes(10) + b"\xff\xff"


def wrap(inner: Application, runtime: Runtime, resolver: Resolver | None = None) -> "Endpoint":
    """The application with the fast path in front of it and of any ProxyFix. Its buffer starts with the first fetch."""
    targets = Targets(runtime.database, runtime.settings.data_dir / "links")
    buffer = Buffer(lambda: unretried(redis_url(runtime.settings)))
    is_https = urlsplit(runtime.settings.base_url).scheme == "https"
    sites = Sites(runtime.database, runtime.secrets.tokens.visit)
    return Endpoint(inner, runtime.secrets.tokens.trace_reader(), targets, buffer, resolver, is_https, sites, runtime.settings.proxy_hops)


class Endpoint:
    """A WSGI application."""

    def __init__(
        self,
        inner: Application,
        read_trace: Callable[[str], tuple[int, int]],
        targets: Targets,
        buffer: Buffer,
        resolver: Resolver | None,
        is_https: bool,
        sites: Sites,
        proxy_hops: int = 0,
    ) -> None:
        self.inner = inner
        self.buffer = buffer
        self._read_trace = read_trace
        self._targets = targets
        self._resolver = resolver
        self._sites = sites
        self._hops = proxy_hops
        # Each header costs 0.25 us in granian. A picture and an answer without a body need no policy for content, and are not indexed.
        common: Headers = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
        if is_https:
            common.append(("Strict-Transport-Security", "max-age=31536000"))
        # Webmail shows the beacon from another origin, so it must be allowed to.
        self._gif_headers: Headers = [
            ("Content-Type", "image/gif"), ("Content-Length", str(len(GIF))), ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "cross-origin"), *common,
        ]  # fmt: skip
        self._click_headers: Headers = [("Content-Length", "0"), *common]
        self._unavailable_headers: Headers = [("Content-Length", "0"), ("Retry-After", "5"), *common]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        kind = path[:3]
        if kind == "/o/" or kind == "/c/":
            method = environ["REQUEST_METHOD"]
            if method == "GET" or method == "HEAD":
                try:
                    if kind == "/o/":
                        return self._open(path, method == "HEAD", environ, start_response)
                    return self._click(path, method == "HEAD", environ, start_response)
                except (TokenError, LookupError):
                    pass
        return self.inner(environ, start_response)

    # A list goes to granian in one piece; any other iterable is asked for its pieces, which costs 10 us a request. The headers are shared:
    # whoever adds to them does so for everybody, so nothing may stand between here and the server.

    def _open(self, path: str, is_head: bool, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Raises TokenError."""
        if path[_TOKEN_END:] != ".gif":
            raise TokenError
        campaign_id, number = self._read_trace(path[3:_TOKEN_END])
        self.buffer.add(campaign_id, number, _OPEN, 0, is_head, agent_of(environ), network(self._address(environ)))
        start_response("200 OK", self._gif_headers)
        return [b""] if is_head else [GIF]

    def _click(self, path: str, is_head: bool, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Raises TokenError, LookupError."""
        link = _LINKS.get(path[_TOKEN_END:]) or _link_number(path[_TOKEN_END:])
        campaign_id, number = self._read_trace(path[3:_TOKEN_END])
        try:
            target = self._targets.find(campaign_id, link)
            address = None if target is None else target.location or self._resolve(campaign_id, number, target)
        except TargetUnavailable:
            self.buffer.lose(TARGET_UNKNOWN)
            start_response("503 Service Unavailable", self._unavailable_headers)
            return [b""]
        if address is None:
            raise LookupError(link)
        if number and self._sites.hosts():
            address = self._sites.joined(address, campaign_id, number)
        self.buffer.add(campaign_id, number, _CLICK, link, is_head, agent_of(environ), network(self._address(environ)))
        start_response("302 Found", [("Location", address), *self._click_headers])
        return [b""]

    def _address(self, environ: Environ) -> str:
        """Of the client, as the trusted proxies say it; by hand, since werkzeug's ProxyFix takes 12 us."""
        if self._hops:
            told = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
            if len(told) >= self._hops and (address := told[-self._hops].strip()):
                return str(address)
        return environ.get("REMOTE_ADDR", "")  # type: ignore[no-any-return]

    def _resolve(self, campaign_id: int, number: int, target: Target) -> str | None:
        """The slow path: an address with merge fields asks the database who clicks. Raises TargetUnavailable."""
        if self._resolver is None:
            return None
        try:
            address = self._resolver(campaign_id, number, target.source)
        except SQLAlchemyError as error:
            raise TargetUnavailable from error
        return None if address is None else location(address, target.extra)


def agent_of(environ: Environ) -> str:
    """The user agent; a fetch that says itself that nobody asked for it yet is marked so, and judged by that."""
    agent: str = environ.get("HTTP_USER_AGENT", "")
    if "HTTP_SEC_PURPOSE" in environ or "HTTP_PURPOSE" in environ or "HTTP_X_PURPOSE" in environ or "HTTP_X_MOZ" in environ:
        said = " ".join(environ.get(name, "") for name in _PREFETCH).lower()
        if "prefetch" in said or "prerender" in said or "preview" in said:
            return PREFETCH + agent
    return agent


def _link_number(rest: str) -> int:
    """`/12` is 12, written in one way only. Raises TokenError."""
    digits = rest[1:]
    if rest[:1] != "/" or not digits.isascii() or not digits.isdigit() or len(digits) > 5 or digits[0] == "0" or int(digits) > LINK_MAX:
        raise TokenError
    return int(digits)


def network(address: str) -> bytes:
    """/24 of an IPv4 address, /48 of an IPv6 address; the address itself goes no further than here."""
    try:
        if ":" not in address:
            return inet_aton(address)[:3]
        packed = inet_pton(AF_INET6, address.partition("%")[0])
        return packed[12:15] if packed.startswith(_MAPPED) else packed[:6]
    except (OSError, ValueError):
        return b""
