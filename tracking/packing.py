"""How fetches travel in one entry of the Redis stream: a versioned little-endian record, strictly read.

Header (version, number of fetches, of user agents, of counts), then counts (reason, how many), user agents (length, UTF-8), fetches.
A packed event takes 36 bytes and 25-36 in Redis; one entry an event would take 40 and be 38 times slower to add (BENCHMARKS.md 7).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from kairan.models.events import EventKind

VERSION = 1
FETCHES_MAX = 500
AGENT_MAX = 256
LINK_MAX = 32_767
TOKEN_FLOOD, NETWORK_FLOOD = 4, 5
LOST = {1: "buffer_full", 2: "stream_full", 3: "target_unknown", TOKEN_FLOOD: "token_flood", NETWORK_FLOOD: "network_flood"}
"""what a web process can lose, or cannot answer, before the stream: code → reason in ingest_counts"""

_HEADER = struct.Struct("<BHHB")
_COUNT = struct.Struct("<BI")
_LENGTH = struct.Struct("<H")
_FETCH = struct.Struct("<QQBHQHB6s")
HEAD = 0x80
_NUMBER_END = 2**40
_MS_END = 2**43


class Malformed(ValueError):
    """These bytes were not made by pack(), or not by a version that we know."""


class Fetch(NamedTuple):
    """One request for a beacon or a link, as the web process saw it."""

    campaign_id: int
    number: int
    kind: int
    link: int
    ms: int
    """milliseconds since 1970, by the web machine's clock"""
    is_head: bool
    agent: str
    network: bytes
    """3 bytes of an IPv4 address, 6 of an IPv6 address, or none"""


@dataclass(frozen=True, slots=True)
class Entry:
    fetches: Sequence[Fetch]
    lost: Mapping[int, int] = field(default_factory=dict)
    """code of LOST → how many since the last entry of the same process"""


def pack(fetches: Sequence[Fetch], lost: Mapping[int, int]) -> bytes:
    """At most FETCHES_MAX fetches."""
    places: dict[str, int] = {}
    records = [
        _FETCH.pack(
            campaign_id,
            number,
            kind | HEAD if is_head else kind,
            link,
            ms,
            places.setdefault(agent, len(places)),
            len(network),
            network,
        )
        for campaign_id, number, kind, link, ms, is_head, agent, network in fetches
    ]
    agents = [agent[:AGENT_MAX].encode("utf-8", "replace") for agent in places]
    return b"".join(
        [
            _HEADER.pack(VERSION, len(fetches), len(agents), len(lost)),
            *(_COUNT.pack(reason, min(count, 0xFFFFFFFF)) for reason, count in lost.items()),
            *(_LENGTH.pack(len(agent)) + agent for agent in agents),
            *records,
        ]
    )


class Raw(NamedTuple):
    """An entry as the drain takes it: records as they stand in the bytes, checked together, since an object a fetch costs 2 us."""

    records: list[tuple[int, int, int, int, int, int, int, bytes]]
    """campaign, delivery, kind (with HEAD), link, milliseconds, place of the agent, length of the network, network"""
    agents: list[str]
    lost: Mapping[int, int]


def unpack(data: bytes) -> Entry:
    """Raises Malformed on anything that pack() does not write: the stream may have been written by somebody else."""
    raw = unpack_raw(data)
    return Entry([_fetch(record, raw.agents) for record in raw.records], raw.lost)


def unpack_raw(data: bytes) -> Raw:
    """Raises Malformed, as unpack() does."""
    try:
        return _unpack(data)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise Malformed(str(error)) from error


def _unpack(data: bytes) -> Raw:
    version, fetches, agent_count, counts = _HEADER.unpack_from(data)
    if version != VERSION or fetches > FETCHES_MAX or agent_count > fetches or counts > len(LOST):
        raise Malformed("header")
    at = _HEADER.size + counts * _COUNT.size
    lost = dict(_COUNT.iter_unpack(data[_HEADER.size : at]))
    if len(lost) != counts or not lost.keys() <= LOST.keys():
        raise Malformed("counts")
    agents, at = _agents(data, at, agent_count)
    if len(data) != at + fetches * _FETCH.size:
        raise Malformed("length")
    records = list(_FETCH.iter_unpack(data[at:]))
    if records:
        _check(records, len(agents))
    return Raw(records, agents, lost)


def _agents(data: bytes, at: int, count: int) -> tuple[list[str], int]:
    agents = []
    for _place in range(count):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > 4 * AGENT_MAX or at + length > len(data):
            raise Malformed("agent")
        agents.append(data[at : at + length].decode())
        at += length
    return agents, at


def _check(records: list[tuple[int, int, int, int, int, int, int, bytes]], agents: int) -> None:
    """All records of an entry at once, column by column."""
    campaigns, numbers, flags, links, times, places, lengths, networks = zip(*records, strict=True)
    if not (min(campaigns) > 0 and max(campaigns) < _NUMBER_END and max(numbers) < _NUMBER_END and max(times) < _MS_END):
        raise Malformed("fetch")
    if max(places) >= agents or max(links) > LINK_MAX:
        raise Malformed("place")
    for length, network in set(zip(lengths, networks, strict=True)):
        if length not in (0, 3, 6) or any(network[length:]):
            raise Malformed("network")
    for flag, is_no_link in {(flag & ~HEAD, link == 0) for flag, link in set(zip(flags, links, strict=True))}:
        if (flag, is_no_link) not in ((EventKind.OPEN, True), (EventKind.CLICK, False)):
            raise Malformed("kind")


def _fetch(record: tuple[int, int, int, int, int, int, int, bytes], agents: list[str]) -> Fetch:
    campaign_id, number, flags, link, ms, agent, length, network = record
    return Fetch(campaign_id, number, flags & ~HEAD, link, ms, flags >= HEAD, agents[agent], network[:length])


def network_name(network: bytes) -> str | None:
    """`203.0.113.0/24` or `2001:db8:1::/48`."""
    if not network:
        return None
    return f"{ip_address(network.ljust(4 if len(network) == 3 else 16, bytes(1)))}/{len(network) * 8}"


def in_entries(fetches: Sequence[Fetch]) -> Iterable[Sequence[Fetch]]:
    return (fetches[at : at + FETCHES_MAX] for at in range(0, len(fetches), FETCHES_MAX))
