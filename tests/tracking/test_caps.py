"""A flood of one token or one network is answered, counted, and takes no more room than its cap."""

from tracking.caps import KEYS_MAX, NETWORK_MAX, TOKEN_MAX, WINDOW_S, Caps
from tracking.packing import NETWORK_FLOOD, TOKEN_FLOOD, Fetch

NETWORK = b"\xcb\x00\x71"


def fetch(number: int, network: bytes = NETWORK) -> Fetch:
    return Fetch(7, number, 1, 0, 1_000, False, "Thunderbird", network)


def test_of_one_delivery_only_so_many_go_in_within_a_window() -> None:
    caps = Caps()

    first, lost = caps.sift([fetch(1)] * 150, 0.0)
    second, lost_then = caps.sift([fetch(1)] * 150 + [fetch(2)], 1.0)
    third, lost_later = caps.sift([fetch(1)] * 10, WINDOW_S)

    assert (len(first), lost) == (150, {})
    assert ([each.number for each in second], lost_then) == ([1] * (TOKEN_MAX - 150) + [2], {TOKEN_FLOOD: 100})
    assert (len(third), lost_later) == (10, {})


def test_of_one_network_only_so_many_go_in_whatever_the_tokens() -> None:
    caps = Caps()

    kept, lost = caps.sift([fetch(number) for number in range(1, NETWORK_MAX + 11)] + [fetch(1, b"\xc0\x00\x02")], 0.0)

    assert (len(kept), lost) == (NETWORK_MAX + 1, {NETWORK_FLOOD: 10})
    assert kept[-1].network == b"\xc0\x00\x02"


def test_everybody_without_a_name_and_everybody_behind_an_undeclared_proxy_have_no_cap() -> None:
    caps = Caps()

    nameless, lost = caps.sift([fetch(0)] * (TOKEN_MAX * 2), 0.0)
    proxied, lost_there = caps.sift(
        [fetch(number, network) for number in range(1, NETWORK_MAX + 2) for network in (b"", b"\x7f\x00\x00")], 0.0
    )

    assert (len(nameless), lost) == (TOKEN_MAX * 2, {})
    assert (len(proxied), lost_there) == ((NETWORK_MAX + 1) * 2, {})


def test_the_table_does_not_grow_past_its_bound() -> None:
    caps = Caps()

    for part in range(5):
        caps.sift([fetch(number, number.to_bytes(3, "big")) for number in range(part * 30_000, (part + 1) * 30_000)], 0.0)

    assert len(caps._seen) <= KEYS_MAX + 60_000
