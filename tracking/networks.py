"""What an operator's own MMDB files say of a network: its country, and whether a mail gateway's maker works there.

Nothing is shipped and nothing is looked up elsewhere. Only the network prefix that an event keeps is asked for, never the address.
"""

import ipaddress
import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tracking import machines, packing

log = logging.getLogger(__name__)
CACHED = 50_000

GATEWAYS = re.compile(
    r"\b(?:barracuda|proofpoint|mimecast|messagelabs|trend ?micro|ironport|fireeye|trellix|hornetsecurity|retarus|vade ?secure)\b",
    re.IGNORECASE,
)
"""Owners of networks from which only machines fetch, by their makers' names. Who also runs a web proxy for people's browsers is not here
(Zscaler, Cisco Umbrella, Netskope): a person behind it would be taken for a machine."""
GATEWAY = machines.Verdict("network/1", True, "Mail gateway", None)


class Place(NamedTuple):
    """`name`: the prefix as events keep it, None where the address was none."""

    name: str | None
    country: str | None
    is_gateway: bool


class Networks:
    """The files of one process. One that is missing or broken says so once in the log and knows nothing."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self.readers = [reader for reader in map(_opened, paths) if reader is not None]
        self.of = lru_cache(maxsize=CACHED)(self._of)
        self.marks = marks(paths)

    def __bool__(self) -> bool:
        return bool(self.readers)

    def _of(self, network: bytes) -> Place:
        name = packing.network_name(network)
        if name is None or not self.readers:
            return Place(name, None, False)
        address = ipaddress.ip_network(name).network_address
        records = [record for reader in self.readers if isinstance(record := _record(reader, address), dict)]
        country = next(filter(None, map(_country, records)), None)
        return Place(name, country, any(GATEWAYS.search(_owner(record)) for record in records))


def _opened(path: Path) -> Any:
    import maxminddb

    try:
        # In memory: a file that is replaced under a mapping would end the process.
        return maxminddb.open_database(str(path), maxminddb.MODE_MEMORY)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        log.warning("network file not read", extra={"file": path.name, "error": type(error).__name__})
        return None


def _record(reader: Any, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> object:
    import maxminddb

    try:
        return reader.get(address)
    except (ValueError, maxminddb.InvalidDatabaseError):  # an IPv6 address in a file of IPv4 alone; a file cut short
        return None


def _country(record: dict[str, Any]) -> str | None:
    """MaxMind and DB-IP nest the code, IPinfo writes it flat."""
    nested = record.get("country")
    code = nested.get("iso_code") if isinstance(nested, dict) else record.get("country_code") or nested
    return code.upper() if isinstance(code, str) and re.fullmatch(r"[A-Za-z]{2}", code) else None


def _owner(record: dict[str, Any]) -> str:
    return " ".join(str(record.get(key, "")) for key in ("autonomous_system_organization", "as_name", "organization"))


def current(paths: Sequence[Path]) -> Networks:
    """The files as they are now: they are opened again when one was replaced (geoipupdate does so weekly)."""
    if _open[0].marks != marks(paths):
        _open[0] = Networks(paths)
    return _open[0]


def marks(paths: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """What tells that a file was replaced."""
    return tuple((str(path), *_mark(path)) for path in paths)


def _mark(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


NOTHING = Networks()
_open: list[Networks] = [NOTHING]
