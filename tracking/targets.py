"""Where each numbered link leads: in memory, one campaign at a time, with a copy on disk for a start while the database is down.

A number's target never changes (links are numbered anew at every revision), so what is known is never asked for again; a number that
is not known is asked for at most once a second a campaign.
"""

import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from kairan.database import Database
from kairan.models.campaigns import Campaign, Link

CAMPAIGNS_MAX = 2_000
ASK_AGAIN_S = 1.0
FILES_MAX = 500
_KEPT = "%/:?#[]@!$&'()*+,;=~"

log = logging.getLogger(__name__)


class TargetUnavailable(Exception):
    """Not known here, and the database does not answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """`location` is ready for the header; None: the address holds merge fields (`source`) or cannot be a Location at all."""

    location: str | None
    source: str
    extra: Mapping[str, str] = field(default_factory=dict)
    """query parameters to add at the click: the campaign's utm"""
    host: str = ""
    """of `location`"""


class Targets:
    """The link map of a process."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._campaigns: OrderedDict[int, Mapping[int, Target]] = OrderedDict()
        self._asked: dict[int, float] = {}
        self._lock = threading.Lock()
        self._down_until = 0.0

    def find(self, campaign_id: int, number: int) -> Target | None:
        """None: there is no such link. Raises TargetUnavailable."""
        links = self._campaigns.get(campaign_id)
        if links is not None:
            target = links.get(number)
            if target is not None:
                return target
        return self._ask(campaign_id, number)

    def _ask(self, campaign_id: int, number: int) -> Target | None:
        with self._lock:  # one of the threads asks, the others then find the answer
            links = self._campaigns.get(campaign_id)
            now = time.monotonic()
            if links is not None and (number in links or now - self._asked.get(campaign_id, 0.0) < ASK_AGAIN_S):
                return links.get(number)
            fresh = None if now < self._down_until else self._load(campaign_id)
            if fresh is None:
                links = links or self._from_file(campaign_id)
                if links is None or number not in links:
                    raise TargetUnavailable
                fresh = links
            self._keep(campaign_id, fresh, now)
            return fresh.get(number)

    def _keep(self, campaign_id: int, links: Mapping[int, Target], now: float) -> None:
        self._campaigns[campaign_id] = links
        self._campaigns.move_to_end(campaign_id)
        self._asked[campaign_id] = now
        while len(self._campaigns) > CAMPAIGNS_MAX:
            gone, _links = self._campaigns.popitem(last=False)
            self._asked.pop(gone, None)

    def _load(self, campaign_id: int) -> Mapping[int, Target] | None:
        """None where the database does not answer; it is then left alone for a second."""
        try:
            with self._database.reading() as session:
                rows = session.execute(select(Link.number, Link.url).where(Link.campaign_id == campaign_id)).all()
                extra = session.execute(select(Campaign.utm).where(Campaign.id == campaign_id)).scalar_one_or_none() or {}
        except SQLAlchemyError as error:
            self._down_until = time.monotonic() + ASK_AGAIN_S
            log.warning("link map not loaded", extra={"campaign": campaign_id, "error": type(error).__name__})
            return None
        sources = {number: url for number, url in rows}
        if len(sources) != len(self._campaigns.get(campaign_id, ())):
            self._to_file(campaign_id, sources, extra)
        return _targets(sources, extra)

    # ---- the copy on disk

    def _path(self, campaign_id: int) -> Path:
        return self._folder / f"{campaign_id}.json"

    def _from_file(self, campaign_id: int) -> Mapping[int, Target] | None:
        try:
            kept = json.loads(self._path(campaign_id).read_text("utf-8"))
            extra = {str(name): str(value) for name, value in kept["utm"].items()}
            return _targets({int(number): str(url) for number, url in kept["links"].items()}, extra)
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            return None

    def _to_file(self, campaign_id: int, sources: Mapping[int, str], extra: Mapping[str, str]) -> None:
        """Without a folder to write to we serve as well, only not through a restart without a database."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._folder / f"{campaign_id}.{os.getpid()}.new"
            draft.write_text(json.dumps({"links": sources, "utm": extra}, ensure_ascii=False), "utf-8")
            os.replace(draft, self._path(campaign_id))
            self._forget_old_files()
        except OSError as error:
            log.warning("link map not copied", extra={"campaign": campaign_id, "error": type(error).__name__})

    def _forget_old_files(self) -> None:
        files = list(self._folder.glob("*.json"))
        if len(files) > FILES_MAX:
            for old in sorted(files, key=lambda path: path.stat().st_mtime)[:-FILES_MAX]:
                old.unlink(missing_ok=True)


def _targets(sources: Mapping[int, str], extra: Mapping[str, str]) -> Mapping[int, Target]:
    return {number: _target(url, extra) for number, url in sources.items()}


def _target(url: str, extra: Mapping[str, str]) -> Target:
    ready = None if has_fields(url) else location(url, extra)
    return Target(ready, url, extra, host_of(ready) if ready else "")


def host_of(address: str) -> str:
    """In lower case, without a port."""
    return (urlsplit(address).hostname or "").lower()


def with_parameter(address: str, name: str, value: str) -> str:
    """One more parameter at the end of the query, before a fragment. Both are ours and need no quoting."""
    before, mark, fragment = address.partition("#")
    return f"{before}{'&' if '?' in before else '?'}{name}={value}{mark}{fragment}"


def has_fields(url: str) -> bool:
    return "{{" in url or "{%" in url


def location(url: str, extra: Mapping[str, str] | None = None) -> str | None:
    """The address as it may stand in a Location header, ASCII only; None for what is no web address.

    `extra` goes into the query under `utm_…` names, except where the author's own address has that name already.

    Nothing in it can end the header or hand the click to another scheme (RELIABILITY-SECURITY.md 23).
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode() if not (parts.hostname or "").isascii() else parts.hostname
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host or parts.username is not None or parts.password is not None:
        return None
    if ":" in host:
        host = f"[{host}]"
    netloc = host if port is None else f"{host}:{port}"
    path, query, fragment = (quote(part, safe=_KEPT) for part in parts[2:])
    return urlunsplit((parts.scheme.lower(), netloc, path, _with(query, extra) if extra else query, fragment))


def _with(query: str, extra: Mapping[str, str]) -> str:
    named = {part.partition("=")[0].lower() for part in query.split("&")}
    added = {f"utm_{name}": value for name, value in extra.items() if f"utm_{name}" not in named}
    return "&".join(part for part in (query, urlencode(added, quote_via=quote)) if part)
