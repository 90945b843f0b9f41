"""Addresses are known by one normal form, mailed as they were written, and never carry a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairan.addresses import AddressError, as_mailbox, masked, normal


@pytest.mark.parametrize(
    ("written", "known_as"),
    [
        (" Taro@Example.ORG ", "taro@example.org"),
        ("\uff54aro@example.org", "taro@example.org"),
        ("taro@例え.jp", "taro@xn--r8jz45g.jp"),
        ("a.b+c@example.org", "a.b+c@example.org"),
        ("taro..yamada@docomo.ne.jp", "taro..yamada@docomo.ne.jp"),
    ],
)
def test_an_address_has_one_normal_form(written: str, known_as: str) -> None:
    assert normal(written) == known_as


@pytest.mark.parametrize(
    "written", ["", "taro", "@example.org", "a@b", "a b@example.org", "-a@x", "a@example.org\r\nRCPT TO:<b@c.d>", "太郎@example.org"]
)
def test_what_cannot_be_mailed_is_refused(written: str) -> None:
    with pytest.raises(AddressError):
        normal(written)


def test_an_old_carrier_address_is_quoted_for_smtp() -> None:
    assert as_mailbox("Taro..Yamada@docomo.ne.jp") == '"Taro..Yamada"@docomo.ne.jp'


def test_case_is_kept_for_sending() -> None:
    assert as_mailbox("Taro.Yamada@Example.org") == "Taro.Yamada@example.org"


def test_a_masked_address_shows_little() -> None:
    assert masked("taro@example.org") == "t•••@example.org"


@given(st.text(max_size=300))
def test_any_text_is_a_mailbox_or_refused(text: str) -> None:
    try:
        mailbox = as_mailbox(text)
    except AddressError:
        return

    assert mailbox.isascii()
    assert not set(mailbox) & set("\r\n\0<>")
    assert len(mailbox) <= 260
