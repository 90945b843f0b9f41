"""The tokens in a mail and behind its links, and the paths they live under.

`trace` (campaign, delivery number) stands in `/o` and `/c`: it says which delivery was opened or clicked, and opens nothing else.
`act` (member, campaign) stands in `/u`, `/p` and `/v`: whoever is handed a click link cannot reach the member's choices with it.
`proof` (kind, number of the request) stands in `/confirm`, in a mail to an address that is to be proved; whether it still works is the
request's to say.
`visit` stands in the query of a registered site of the organisation's own after a click, and is over after a day.

A token is 27 bytes, 36 base64url characters without padding: one byte names the key, 5 + 5 bytes are the two numbers (each below
2**40), 16 bytes are a keyed BLAKE2b whose `person` is the purpose (RFC 7693), so a token of one kind never passes as the other.
"""

import hmac
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

TOKEN_LENGTH = 36
_BODY = 11
_NUMBERS = Struct(">xBIBI").unpack_from
"""two numbers of 5 bytes behind the key's id, each as its highest byte and the other four"""
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_TRACE = b"kairan-trace"
_ACT = b"kairan-act"
_PROOF = b"kairan-proof"
_VISIT = b"kairan-visit"
VISIT_HOURS = 24
_MESSAGE_ID = b"kairan-msgid"


class TokenError(ValueError):
    """The token was not made by us for this purpose. There is one answer to it, 404, whatever was wrong."""


class Trace(NamedTuple):
    """Which delivery a beacon or link belongs to; number 0 counts for the campaign only (recorded in the aggregate)."""

    campaign_id: int
    number: int


class Act(NamedTuple):
    """Which member may choose; the campaign is where the mail came from."""

    member_id: int
    campaign_id: int


class Proof(NamedTuple):
    """What is confirmed by a mail: the kind of request (PROOF_…) and its id."""

    kind: int
    request_id: int


PROOF_ADDRESS = 1


class TokenRing:
    """Makes tokens with the newest key and reads those of every key still kept (13 months at least)."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """keys: id (0-255) to 32 bytes; the highest id makes new tokens."""
        if not keys:
            raise ValueError("a token ring needs at least one key")
        self._keys = dict(keys)
        self._newest = max(keys)
        self._prefix = bytes([self._newest])
        self._key = self._keys[self._newest]
        # A keyed hash is copied in 0.1 us and made in 0.4: an open or click checks one each.
        self._checks = {
            (purpose, key_id): blake2b(digest_size=16, key=key, person=purpose)
            for key_id, key in keys.items()
            for purpose in (_TRACE, _ACT, _PROOF)
        }

    def trace(self, campaign_id: int, number: int) -> str:
        return self.trace_bytes(campaign_id, number).decode()

    def trace_bytes(self, campaign_id: int, number: int) -> bytes:
        """The same as ASCII bytes: a splice makes one a mail (0.7 us)."""
        return self._make(_TRACE, campaign_id, number)

    def act(self, member_id: int, campaign_id: int) -> str:
        return self.act_bytes(member_id, campaign_id).decode()

    def act_bytes(self, member_id: int, campaign_id: int) -> bytes:
        return self._make(_ACT, member_id, campaign_id)

    def message_id(self, campaign_id: int, number: int) -> bytes:
        """Left side of the Message-ID: the same on every attempt of one delivery, and no way back to a token."""
        body = campaign_id.to_bytes(5, "big") + number.to_bytes(5, "big")
        # The oldest key, not the newest: a rotation between two attempts must not change the Message-ID.
        return blake2b(body, digest_size=16, key=self._keys[min(self._keys)], person=_MESSAGE_ID).hexdigest().encode()

    def read_trace(self, token: str) -> Trace:
        return Trace(*self._read(_TRACE, token))

    def trace_reader(self) -> Callable[[str], tuple[int, int]]:
        """read_trace() as one function that returns (campaign, number) bare: 0.9 us instead of 1.6, for what every fetch asks."""
        checks = {key_id: check for (purpose, key_id), check in self._checks.items() if purpose == _TRACE}
        equal, decode, numbers = hmac.compare_digest, a2b_base64, _NUMBERS

        def read(token: str) -> tuple[int, int]:
            if len(token) != TOKEN_LENGTH:
                raise TokenError
            try:
                raw = decode(token.replace("-", "+").replace("_", "/"), strict_mode=True)
            except ValueError as error:  # no base64, or not ASCII
                raise TokenError from error
            kept = checks.get(raw[0])
            if kept is None:
                raise TokenError
            check = kept.copy()
            check.update(raw[:_BODY])
            if not equal(check.digest(), raw[_BODY:]):
                raise TokenError
            high, low, second_high, second_low = numbers(raw)
            return high << 32 | low, second_high << 32 | second_low

        return read

    def visit(self, campaign_id: int, number: int, hour: int) -> str:
        """For the query of a registered site after a click: names the delivery, for VISIT_HOURS from this hour (since 1970) on."""
        return self._make(_VISIT + hour.to_bytes(4, "big"), campaign_id, number).decode()

    def read_visit(self, token: str, hour: int) -> Trace:
        """Raises TokenError, also for one that is older than VISIT_HOURS."""
        if len(token) != TOKEN_LENGTH or not token.isascii():
            raise TokenError
        try:
            raw = a2b_base64(token.encode().translate(_FROM_URL), strict_mode=True)
        except Base64Error as error:
            raise TokenError from error
        key = self._keys.get(raw[0])
        if key is None:
            raise TokenError
        for made in range(hour, hour - VISIT_HOURS, -1):
            mac = blake2b(raw[:_BODY], digest_size=16, key=key, person=_VISIT + made.to_bytes(4, "big")).digest()
            if hmac.compare_digest(mac, raw[_BODY:]):
                high, low, second_high, second_low = _NUMBERS(raw)
                return Trace(high << 32 | low, second_high << 32 | second_low)
        raise TokenError

    def read_act(self, token: str) -> Act:
        return Act(*self._read(_ACT, token))

    def proof(self, kind: int, request_id: int) -> str:
        return self._make(_PROOF, kind, request_id).decode()

    def read_proof(self, token: str) -> Proof:
        return Proof(*self._read(_PROOF, token))

    def _make(self, purpose: bytes, first: int, second: int) -> bytes:
        body = self._prefix + first.to_bytes(5, "big") + second.to_bytes(5, "big")
        mac = blake2b(body, digest_size=16, key=self._key, person=purpose).digest()
        return b2a_base64(body + mac, newline=False).translate(_TO_URL)

    def _read(self, purpose: bytes, token: str) -> tuple[int, int]:
        if len(token) != TOKEN_LENGTH or not token.isascii():
            raise TokenError
        try:
            raw = a2b_base64(token.encode().translate(_FROM_URL), strict_mode=True)
        except Base64Error as error:
            raise TokenError from error
        check = self._checks.get((purpose, raw[0]))
        if check is None:
            raise TokenError
        check = check.copy()
        check.update(raw[:_BODY])
        if not hmac.compare_digest(check.digest(), raw[_BODY:]):
            raise TokenError
        high, low, second_high, second_low = _NUMBERS(raw)
        return high << 32 | low, second_high << 32 | second_low


def beacon_path(trace: str) -> str:
    return f"/o/{trace}.gif"


def click_path(trace: str, number: int) -> str:
    return f"/c/{trace}/{number}"


def unsubscribe_path(act: str) -> str:
    return f"/u/{act}"


def preferences_path(act: str) -> str:
    return f"/p/{act}"


def view_path(act: str) -> str:
    return f"/v/{act}"


def confirm_path(proof: str) -> str:
    return f"/confirm/{proof}"
