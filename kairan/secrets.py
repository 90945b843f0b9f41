"""All keys, derived from one root: sessions, tokens in mails, the pepper of address keys, the encryption master.

The root is KAIRAN_SECRET_KEY, else a file made on first start (0600). The pepper must never change: suppressions are found by it.
"""

import hmac
import os
import secrets as random
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from kairan.settings import SettingError, Settings
from kairan.tokens import TokenRing

_FILE = "secret.key"
FIRST_TOKEN_KEY = 1


@dataclass(frozen=True, slots=True)
class Secrets:
    """32-byte keys, one a use, so that a leak of one opens nothing else."""

    session: bytes = field(repr=False)
    pepper: bytes = field(repr=False)
    encryption: bytes = field(repr=False)
    tokens: TokenRing = field(repr=False)
    fingerprint: str
    """names the root without revealing it; compared with the database's mark at start"""

    def address_key(self, normal_address: str) -> bytes:
        """The key of an address in its normal form (kairan.addresses.normal): HMAC, 16 bytes, the same for ever."""
        return hmac.digest(self.pepper, normal_address.encode(), "sha256")[:16]


def derive(root: bytes, purpose: str) -> bytes:
    return blake2b(purpose.encode(), key=root, digest_size=32, person=b"kairan-derive").digest()


def from_root(root: str) -> Secrets:
    material = blake2b(root.encode(), digest_size=32, person=b"kairan-root").digest()
    return Secrets(
        session=derive(material, "session"),
        pepper=derive(material, "pepper"),
        encryption=derive(material, "encryption"),
        tokens=TokenRing({FIRST_TOKEN_KEY: derive(material, "tokens/1")}),
        fingerprint=derive(material, "fingerprint").hex()[:16],
    )


def load(settings: Settings) -> Secrets:
    """Raises SettingError where a secret must be given: several machines on one PostgreSQL cannot each make their own."""
    if settings.secret_key:
        return from_root(settings.secret_key)
    path = settings.data_dir / _FILE
    if not path.exists() and not settings.is_sqlite:
        raise SettingError("KAIRAN_SECRET_KEY must be set with PostgreSQL: write the same 32 or more random characters on every machine")
    return from_root(_read_or_make(path))


def _read_or_make(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        # link() instead of O_EXCL on the name itself: a second process never sees a file that is still empty.
        draft = path.with_name(f"{_FILE}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, random.token_urlsafe(48).encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    if path.stat().st_mode & 0o077:
        raise SettingError(f"{path.name} can be read by others: write `chmod 600` for it")
    return path.read_text("ascii").strip()
