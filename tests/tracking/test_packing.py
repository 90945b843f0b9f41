"""Whatever is packed comes out as it went in; whatever else stands in an entry is refused, never believed and never a crash."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tracking import packing
from tracking.packing import Entry, Fetch, Malformed, network_name

AGENTS = some.text(some.characters(blacklist_categories=("Cs",)), max_size=packing.AGENT_MAX)
NETWORKS = some.one_of(some.just(b""), some.binary(min_size=3, max_size=3), some.binary(min_size=6, max_size=6))
KINDS = some.one_of(some.just((1, 0)), some.tuples(some.just(2), some.integers(1, packing.LINK_MAX)))
FETCHES = some.builds(
    lambda campaign, number, kind, ms, head, agent, network: Fetch(campaign, number, *kind, ms, head, agent, network),  # type: ignore[call-arg]  # two values, as KINDS says
    some.integers(1, 2**40 - 1),
    some.integers(0, 2**40 - 1),
    KINDS,
    some.integers(0, 2**43 - 1),
    some.booleans(),
    AGENTS,
    NETWORKS,
)
COUNTS = some.dictionaries(some.sampled_from(sorted(packing.LOST)), some.integers(0, 2**32 - 1))


@settings(max_examples=100, deadline=None)
@given(some.lists(FETCHES, max_size=20), COUNTS)
def test_what_goes_in_comes_out(fetches: list[Fetch], lost: dict[int, int]) -> None:
    assert packing.unpack(packing.pack(fetches, lost)) == Entry(fetches, lost)


@settings(max_examples=300, deadline=None)
@given(some.binary(max_size=200))
def test_any_bytes_are_an_entry_or_malformed(data: bytes) -> None:
    try:
        entry = packing.unpack(data)
    except Malformed:
        return
    assert packing.unpack(packing.pack(entry.fetches, entry.lost)) == entry


@settings(max_examples=300, deadline=None)
@given(some.lists(FETCHES, min_size=1, max_size=3), some.data())
def test_a_changed_byte_is_another_entry_or_malformed(fetches: list[Fetch], data: some.DataObject) -> None:
    packed = bytearray(packing.pack(fetches, {1: 5}))
    packed[data.draw(some.integers(0, len(packed) - 1))] ^= data.draw(some.integers(1, 255))
    try:
        entry = packing.unpack(bytes(packed))
    except Malformed:
        return
    for fetch in entry.fetches:
        assert 0 < fetch.campaign_id < 2**40 and fetch.number < 2**40 and (fetch.kind, fetch.link == 0) in ((1, True), (2, False))
        network_name(fetch.network)


def test_an_entry_cut_short_or_with_more_behind_it_is_malformed() -> None:
    packed = packing.pack([Fetch(1, 2, 1, 0, 3, False, string.ascii_letters, b"")] * 3, {})

    for cut in range(len(packed)):
        with pytest.raises(Malformed):
            packing.unpack(packed[:cut])
    with pytest.raises(Malformed):
        packing.unpack(packed + b"\x00")


def test_an_agent_stands_in_an_entry_once() -> None:
    fetch = Fetch(1, 2, 1, 0, 3, False, "a" * 200, b"")

    one, many = len(packing.pack([fetch], {})), len(packing.pack([fetch] * 500, {}))

    assert (many - one) / 499 == 36


def test_networks_are_written_with_their_length() -> None:
    assert network_name(b"\xcb\x00\x71") == "203.0.113.0/24"
    assert network_name(b"\x20\x01\x0d\xb8\x00\x01") == "2001:db8:1::/48"
    assert network_name(b"") is None
