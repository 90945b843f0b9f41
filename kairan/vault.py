"""Secrets at rest: envelope encryption with AES-256-GCM, bound to the place where each one lies.

Every secret has a data key of its own, wrapped by the installation's encryption key. The place ("providers/3/password": table, row,
column) is authenticated with both, so a sealed value that is copied to another row or column does not open there.

Layout: version (1) | key id (8) | nonce (12), wrapped data key (32 + 16) | nonce (12), secret (n + 16).
"""

import os
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kairan.secrets import Secrets

_VERSION = b"\x01"
_ID, _NONCE, _KEY, _TAG = 8, 12, 32, 16
_HEAD = len(_VERSION) + _ID
_WRAPPED = _NONCE + _KEY + _TAG


class SealBroken(Exception):
    """It was sealed under another key or at another place, or it was changed."""


class Vault:
    """Seals and opens with one master key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY:
            raise ValueError("the encryption key must have 32 bytes")
        self._master = AESGCM(key)
        self.key_id = blake2b(key, digest_size=_ID, person=b"kairan-vault-id").digest()

    def seal(self, plain: bytes, place: str) -> bytes:
        head = _VERSION + self.key_id
        bound = head + place.encode()
        data_key = os.urandom(_KEY)
        return head + _encrypt(self._master, data_key, bound) + _encrypt(AESGCM(data_key), plain, bound)

    def open(self, sealed: bytes, place: str) -> bytes:
        """Raises SealBroken."""
        head = sealed[:_HEAD]
        if len(sealed) < _HEAD + _WRAPPED + _NONCE + _TAG or head[:1] != _VERSION:
            raise SealBroken("this is not a sealed secret")
        if head[1:] != self.key_id:
            raise SealBroken("it was sealed under another KAIRAN_SECRET_KEY: enter the secret again")
        bound = head + place.encode()
        try:
            data_key = _decrypt(self._master, sealed[_HEAD : _HEAD + _WRAPPED], bound)
            return _decrypt(AESGCM(data_key), sealed[_HEAD + _WRAPPED :], bound)
        except InvalidTag as error:
            raise SealBroken("the sealed secret was changed, or belongs to another row") from error


def of(secrets: Secrets) -> Vault:
    return Vault(secrets.encryption)


def _encrypt(cipher: AESGCM, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, plain, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
