"""A token says what it was made for and nothing else, and a changed one says nothing at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairan.tokens import TOKEN_LENGTH, Act, Proof, TokenError, TokenRing, Trace

RING = TokenRing({1: b"k" * 32})
NUMBERS = st.integers(min_value=0, max_value=2**40 - 1)


@given(NUMBERS, NUMBERS)
def test_a_token_gives_back_what_it_was_made_of(first: int, second: int) -> None:
    assert RING.read_trace(RING.trace(first, second)) == Trace(first, second)
    assert RING.read_act(RING.act(first, second)) == Act(first, second)
    assert RING.read_proof(RING.proof(first, second)) == Proof(first, second)
    assert len(RING.trace(first, second)) == TOKEN_LENGTH


@given(NUMBERS, NUMBERS, st.integers(min_value=0, max_value=TOKEN_LENGTH - 1), st.characters(codec="ascii"))
def test_a_token_with_one_character_changed_is_refused(first: int, second: int, at: int, other: str) -> None:
    token = RING.act(first, second)
    changed = token[:at] + other + token[at + 1 :]
    if changed == token:
        return

    with pytest.raises(TokenError):
        RING.read_act(changed)


@given(NUMBERS, NUMBERS)
def test_a_click_link_does_not_open_the_choices(first: int, second: int) -> None:
    with pytest.raises(TokenError):
        RING.read_act(RING.trace(first, second))
    with pytest.raises(TokenError):
        RING.read_trace(RING.act(first, second))


@given(NUMBERS, NUMBERS)
def test_what_is_in_a_mail_proves_no_address(first: int, second: int) -> None:
    for token in (RING.trace(first, second), RING.act(first, second)):
        with pytest.raises(TokenError):
            RING.read_proof(token)
    with pytest.raises(TokenError):
        RING.read_act(RING.proof(first, second))


@given(st.text(max_size=80))
def test_any_text_is_refused_quietly(text: str) -> None:
    with pytest.raises(TokenError):
        RING.read_trace(text)


def test_an_older_key_still_reads_and_the_newest_makes() -> None:
    old, both = TokenRing({1: b"a" * 32}), TokenRing({1: b"a" * 32, 2: b"b" * 32})

    assert both.read_act(old.act(7, 8)) == Act(7, 8)
    with pytest.raises(TokenError):
        old.read_act(both.act(7, 8))


def test_the_message_id_stays_the_same_after_a_rotation() -> None:
    assert TokenRing({1: b"a" * 32, 2: b"b" * 32}).message_id(3, 4) == TokenRing({1: b"a" * 32}).message_id(3, 4)
