"""A small MMDB file (MaxMind DB format 2.0), since the real ones belong to their operators."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = b"\xab\xcd\xefMaxMind.com"


def write(path: Path, networks: Mapping[str, Mapping[str, Any]]) -> Path:
    """IPv4 and IPv6 networks with their records; the tree is IPv6, IPv4 stands at ::/96 as in the real files."""
    nodes: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], int] = {}
    data = bytearray()
    for name, record in networks.items():
        place = len(data)
        data += _encoded(record)
        bits = _bits(name)
        node = 0
        for bit in bits[:-1]:
            if nodes[node][bit] is None:
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit] or 0
        leaves[node, bits[-1]] = place
    count = len(nodes)
    tree = bytearray()
    for at, branches in enumerate(nodes):
        for bit in (0, 1):
            value = count + 16 + leaves[at, bit] if (at, bit) in leaves else (count if branches[bit] is None else branches[bit])
            tree += (value or 0).to_bytes(4, "big")
    about = {
        "node_count": count, "record_size": 32, "ip_version": 6, "database_type": "Test", "languages": [],
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "description": {},
    }  # fmt: skip
    path.write_bytes(bytes(tree) + bytes(16) + bytes(data) + MARK + _encoded(about))
    return path


def _bits(name: str) -> list[int]:
    network = ipaddress.ip_network(name)
    length = network.prefixlen + (96 if network.version == 4 else 0)
    number = int(network.network_address)
    return [number >> (127 - at) & 1 for at in range(length)]


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        return _head(2, len(value.encode())) + value.encode()
    if isinstance(value, Mapping):
        return _head(7, len(value)) + b"".join(_encoded(key) + _encoded(each) for key, each in value.items())
    if isinstance(value, list):
        return bytes([len(value), 4])
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _head(6, len(raw)) + raw


def _head(kind: int, size: int) -> bytes:
    assert size < 285
    return bytes([kind << 5 | size]) if size < 29 else bytes([kind << 5 | 29, size - 29])
