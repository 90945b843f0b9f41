"""E-mail addresses: what may be mailed, the normal form they are known by, and how they stand in SMTP commands.

Normal form: stripped, NFKC, domain as IDNA A-label, all casefolded; dots and plus signs stay, since they are the mailbox's own.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254

# The usual address, 0.5 us against email-validator's 16 (LIBRARIES.md 5); anything else takes the slow path.
_LOCAL = re.compile(r"[a-z0-9!#$&'*/=?^_`{|}~][a-z0-9!#$&'*/=?^_`{|}~+-]*(?:\.[a-z0-9!#$&'*/=?^_`{|}~+-]+)*")
_PLAIN = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+){0,8}@[a-z0-9]+(?:[.-][a-z0-9]+){0,8}\.[a-z]{2,12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Mailboxes from before 2009 with dots in odd places exist at these carriers, against RFC 5321.
_OLD_CARRIERS = ("docomo.ne.jp", "ezweb.ne.jp")
_OLD_LOCAL = re.compile(r"[a-z0-9_.+-]+")


class AddressError(ValueError):
    """The address cannot be mailed; the message says why, for the person who wrote it."""


def normal(address: str) -> str:
    """The form addresses are compared and keyed by. Raises AddressError."""
    text = unicodedata.normalize("NFKC", address.strip())
    if _CONTROL.search(text):
        raise AddressError("it holds a control character")
    local, at, domain = text.casefold().rpartition("@")
    if not at:
        raise AddressError("it has no @")
    if len(text) > MAX_LENGTH:
        raise AddressError(f"it is longer than {MAX_LENGTH} characters")
    domain = _domain(domain)
    if len(local) <= 64 and _LOCAL.fullmatch(local):
        return f"{local}@{domain}"
    if domain in _OLD_CARRIERS and len(local) <= 64 and _OLD_LOCAL.fullmatch(local):
        return f"{local}@{domain}"
    return f"{_unusual_local(local)}@{domain}"


def kept(address: str) -> str:
    """A valid address as it is stored: as written, but with one writing of its domain, so that SQL can compare it."""
    text = address.strip()
    if text.isascii():
        return text
    local, _, domain = unicodedata.normalize("NFKC", text).rpartition("@")
    return f"{local}@{domain.casefold()}"


class Domain(NamedTuple):
    """A domain as it goes over the wire (IDNA), and as people write it; the same for most."""

    ascii: str
    written: str


def domain(text: str) -> Domain:
    """Raises AddressError."""
    folded = unicodedata.normalize("NFKC", text.strip()).casefold().removeprefix("@")
    if _CONTROL.search(folded):
        raise AddressError("it holds a control character")
    ascii_form = _domain(folded)
    return Domain(ascii_form, validate_email(f"a@{ascii_form}", check_deliverability=False, test_environment=True).domain.casefold())


@lru_cache(maxsize=20_000)
def _domain(domain: str) -> str:
    try:
        return validate_email(f"a@{domain}", check_deliverability=False, test_environment=True).ascii_domain.lower()
    except EmailNotValidError as error:
        raise AddressError(f"its domain is not valid: {error}") from error


def _unusual_local(local: str) -> str:
    if local.startswith("-") or not local.isascii():
        raise AddressError("the part before the @ cannot be mailed: it must be plain ASCII and not start with a hyphen")
    try:
        checked = validate_email(f"{local}@example.com", check_deliverability=False, allow_quoted_local=True, test_environment=True)
    except EmailNotValidError as error:
        raise AddressError(f"the part before the @ is not valid: {error}") from error
    return checked.local_part


def as_mailbox(address: str) -> str:
    """The address as it stands in RCPT TO and in headers: ASCII, odd local parts quoted (RFC 5321 4.1.2). Raises AddressError."""
    if len(address) <= 60 and _PLAIN.fullmatch(
        address
    ):  # nothing to normalise or to quote: 0.4 us of the 5 that every mail would pay twice
        return address
    local, _, domain = normal(address).rpartition("@")
    written = unicodedata.normalize("NFKC", address.strip()).rpartition("@")[0]
    local = written if written.casefold() == local else local
    if local.startswith('"') or _LOCAL.fullmatch(local.lower()):
        return f"{local}@{domain}"
    return f'"{local}"@{domain}'


def masked(address: str) -> str:
    """`t•••@example.org`: enough to recognise one's own, too little to use."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
