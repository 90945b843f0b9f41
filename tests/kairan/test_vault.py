"""Sealed secrets open at their own place under their own key, and nowhere else."""

import pytest

from kairan import secrets, vault
from kairan.vault import SealBroken, Vault

HERE = "providers/1/password"


@pytest.fixture
def safe() -> Vault:
    return Vault(bytes(range(32)))


@pytest.mark.parametrize("plain", [b"", b"p", "パスワード".encode(), b"x" * 10_000])
def test_what_was_sealed_is_opened(safe: Vault, plain: bytes) -> None:
    assert safe.open(safe.seal(plain, HERE), HERE) == plain


def test_a_secret_moved_to_another_row_table_or_column_does_not_open(safe: Vault) -> None:
    sealed = safe.seal(b"hunter2", HERE)
    for elsewhere in ("providers/2/password", "dkim_keys/1/password", "providers/1/user", ""):
        with pytest.raises(SealBroken, match="another row"):
            safe.open(sealed, elsewhere)


def test_one_changed_byte_anywhere_is_found(safe: Vault) -> None:
    sealed = safe.seal(b"hunter2", HERE)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(SealBroken):
            safe.open(bytes(changed), HERE)
        with pytest.raises(SealBroken):
            safe.open(sealed[:at], HERE)


def test_parts_of_two_secrets_of_one_place_cannot_be_put_together(safe: Vault) -> None:
    one, other = safe.seal(b"first", HERE), safe.seal(b"other", HERE)
    with pytest.raises(SealBroken):
        safe.open(one[:69] + other[69:], HERE)


def test_another_root_key_is_named_as_the_cause() -> None:
    sealed = vault.of(secrets.from_root("a" * 32)).seal(b"hunter2", HERE)
    with pytest.raises(SealBroken, match="KAIRAN_SECRET_KEY"):
        vault.of(secrets.from_root("b" * 32)).open(sealed, HERE)


def test_neither_the_secret_nor_a_repeated_pattern_shows(safe: Vault) -> None:
    one, again = safe.seal(b"hunter2", HERE), safe.seal(b"hunter2", HERE)
    assert b"hunter2" not in one
    assert one[9:] != again[9:]


def test_a_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(b"short")
