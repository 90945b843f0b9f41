"""What the DNS has to say for a sending domain, and what it does say. Asked on request and by the scheduler, never while sending."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from dns.rdatatype import RdataType
from sqlalchemy.orm import Session

from kairan.models.sending import DkimKey, SendingDomain
from kairan.settings import Settings
from mailer.delivery import dkim, signing

TIMEOUT_S = 4.0
"""for one question with all its tries; they are asked side by side, so a whole check takes little longer"""
_AT_ONCE = 8
_SEEN_MAX = 3
_SHOWN_MAX = 400

FOUND, MISSING, DIFFERS, UNKNOWN = "found", "missing", "differs", "unknown"
"""UNKNOWN: no name server answered in time, so nothing can be said"""
WRONG = (MISSING, DIFFERS)


@dataclass(frozen=True, slots=True)
class Record:
    """One record to publish. `value` is what to write; empty where only the operator's mail provider knows it."""

    purpose: str
    """dkim, spf, dmarc, return_path or link_host"""
    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What the DNS says about one record."""

    purpose: str
    name: str
    state: str
    seen: tuple[str, ...] = ()
    """what stands there instead, shortened"""


class _Silent(Exception):
    """No answer that could be trusted."""


# ---- what to publish


def own_host(settings: Settings) -> str:
    """The host that links and bounces go to where a domain has none of its own."""
    return urlsplit(settings.base_url).hostname or ""


def records(row: SendingDomain, keys: Iterable[DkimKey], now: datetime, host: str) -> list[Record]:
    """Everything the domain should publish. `host`: own_host()."""
    wanted = [
        Record("dkim", f"{key.selector}._domainkey.{row.domain}", "TXT", dkim.record(key.algorithm, key.public_key))
        for key in signing.to_publish(keys, now)
    ]
    wanted += policies(row.return_path.rpartition("@")[2] if row.return_path else row.domain, row.domain)
    if row.return_path:
        wanted.append(Record("return_path", row.return_path.rpartition("@")[2], "MX", f"10 {host}."))
    if row.link_host:
        wanted.append(Record("link_host", row.link_host, "CNAME", f"{host}."))
    return wanted


def policies(envelope_domain: str, domain: str) -> list[Record]:
    """SPF stands where the envelope sender is, DMARC where the From is."""
    return [Record("spf", envelope_domain, "TXT", ""), Record("dmarc", f"_dmarc.{domain}", "TXT", "v=DMARC1; p=none")]


def zone_lines(wanted: Iterable[Record]) -> str:
    """The records as lines of a zone file; a TXT string holds at most 255 bytes."""
    return "\n".join(f"{record.name}. IN {record.kind} {_zone_value(record)}" for record in wanted if record.value)


def _zone_value(record: Record) -> str:
    if record.kind != "TXT":
        return record.value
    return " ".join(f'"{record.value[at : at + 255]}"' for at in range(0, len(record.value), 255))


# ---- what is published


def look(wanted: Sequence[Record], resolver: dns.resolver.Resolver | None = None) -> list[Finding]:
    """Asks for all of them at once. Takes TIMEOUT_S at most for each _AT_ONCE of them; no session should be open meanwhile."""
    asked = resolver or dns.resolver.get_default_resolver()
    with ThreadPoolExecutor(_AT_ONCE, "dns") as pool:
        return list(pool.map(lambda record: _look(record, asked), wanted))


def _look(record: Record, resolver: dns.resolver.Resolver) -> Finding:
    try:
        state, seen = _JUDGES[record.purpose](record, resolver)
    except _Silent as silent:
        state, seen = UNKNOWN, [str(silent)]
    return Finding(record.purpose, record.name, state, tuple(text[:_SHOWN_MAX] for text in seen[:_SEEN_MAX]))


def _dkim(record: Record, resolver: dns.resolver.Resolver) -> tuple[str, list[str]]:
    """Two records under one selector leave the choice to the receiver (RFC 6376 3.6.2.2): ours must be alone."""
    texts = _texts(record.name, resolver)
    if not texts:
        return MISSING, []
    return (FOUND, []) if len(texts) == 1 and _says_the_same(texts[0], record.value) else (DIFFERS, texts)


def _says_the_same(seen: str, wanted: str) -> bool:
    theirs, ours = _tags(seen), _tags(wanted)
    return theirs.get("v", "DKIM1") == "DKIM1" and theirs.get("k", "rsa") == ours["k"] and theirs.get("p") == ours["p"]


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, _sign, value in pairs if name.strip()}


def _spf(record: Record, resolver: dns.resolver.Resolver) -> tuple[str, list[str]]:
    """Two SPF records are none: receivers answer permerror (RFC 7208 4.5)."""
    found = [text for text in _texts(record.name, resolver) if text.lower().split(" ")[0] == "v=spf1"]
    return (MISSING, []) if not found else (FOUND, found) if len(found) == 1 else (DIFFERS, found)


def _dmarc(record: Record, resolver: dns.resolver.Resolver) -> tuple[str, list[str]]:
    """At the domain, else at one above it (RFC 7489 6.6.3)."""
    labels = record.name.removeprefix("_dmarc.").split(".")
    for at in range(len(labels) - 1):
        found = [text for text in _texts("_dmarc." + ".".join(labels[at:]), resolver) if text.startswith("v=DMARC1")]
        if found:
            good = len(found) == 1 and _tags(found[0]).get("p") in ("none", "quarantine", "reject")
            return (FOUND if good else DIFFERS), found
    return MISSING, []


def _return_path(record: Record, resolver: dns.resolver.Resolver) -> tuple[str, list[str]]:
    """Somebody must take the bounces: an MX, or the host itself (RFC 5321 5.1). `0 .` says nobody does (RFC 7505)."""
    mx = _answers(record.name, RdataType.MX, resolver)
    if mx:
        return (DIFFERS if any(text.split()[-1] == "." for text in mx) else FOUND), mx
    hosts = _hosts(record.name, resolver)
    return (FOUND, hosts) if hosts else (MISSING, [])


def _link_host(record: Record, resolver: dns.resolver.Resolver) -> tuple[str, list[str]]:
    """Any address will do: there may be a proxy in front, whose address is not ours."""
    hosts = _hosts(record.name, resolver)
    return (FOUND, hosts) if hosts else (MISSING, [])


_JUDGES = {"dkim": _dkim, "spf": _spf, "dmarc": _dmarc, "return_path": _return_path, "link_host": _link_host}


def _hosts(name: str, resolver: dns.resolver.Resolver) -> list[str]:
    return _answers(name, RdataType.A, resolver) or _answers(name, RdataType.AAAA, resolver)


def _texts(name: str, resolver: dns.resolver.Resolver) -> list[str]:
    return _answers(name, RdataType.TXT, resolver)


def _answers(name: str, kind: RdataType, resolver: dns.resolver.Resolver) -> list[str]:
    """Empty where there is none. Raises _Silent."""
    try:
        found = resolver.resolve(f"{name}.", kind, lifetime=TIMEOUT_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise _Silent(type(error).__name__) from error
    return sorted(_written(answer, kind) for answer in found)


def _written(answer: Any, kind: RdataType) -> str:
    if kind == RdataType.TXT:
        return b"".join(answer.strings).decode("ascii", "replace")
    return str(answer.to_text())


# ---- what is kept of it


def keep(session: Session, domain_id: int, findings: Sequence[Finding], now: datetime) -> list[DkimKey]:
    """Writes down what was seen and lets new keys sign whose records stand. Returns those keys. The domain may be gone meanwhile."""
    row = session.get(SendingDomain, domain_id)
    if row is None:
        return []
    row.findings, row.checked_at = [asdict(finding) for finding in findings], now
    selectors = [finding.name.partition("._domainkey.")[0] for finding in findings if finding.purpose == "dkim" and finding.state == FOUND]
    return signing.activate_found(session, domain_id, selectors, now)


def kept(row: SendingDomain) -> Iterator[Finding]:
    """What the last check saw."""
    for held in row.findings:
        yield Finding(held["purpose"], held["name"], held["state"], tuple(held["seen"]))
