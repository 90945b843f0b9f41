"""Passwords: argon2id with the library's present parameters (RFC 9106, second recommendation), renewed at sign-in when they change."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN = 12
LENGTH_MAX = 200
_hasher = PasswordHasher()


class WeakPassword(ValueError):
    """The password is too short, too long or the address itself; the message says which."""


def check(password: str, email: str) -> None:
    """Raises WeakPassword. Length is what counts (NIST SP 800-63B 5.1.1.2); no rules about kinds of characters."""
    if len(password) < LENGTH_MIN:
        raise WeakPassword("short")
    if len(password) > LENGTH_MAX:
        raise WeakPassword("long")
    if email.casefold() in password.casefold() or len(set(password)) < 4:
        raise WeakPassword("guessable")


def hashed(password: str) -> str:
    return _hasher.hash(password)


def fits(password: str, password_hash: str | None) -> bool:
    """Whether it is the password. Takes as long where there is no account, so that the time tells nothing."""
    try:
        return _hasher.verify(password_hash or _nobody(), password[:LENGTH_MAX]) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(password_hash: str) -> bool:
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobody() -> str:
    return _hasher.hash("the password of nobody")
