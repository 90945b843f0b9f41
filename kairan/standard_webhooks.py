"""Signatures of outgoing webhooks (Standard Webhooks): HMAC-SHA256 over id, time and body, so that a receiver knows whose it is."""

import base64
import hmac
import secrets
from datetime import datetime

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def headers(secret: str, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """What goes with a body. The id stays the same on every try, the time is that of the try."""
    moment = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "Kairan",
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{signature(secret, message_id, moment, body)}",
    }


def signature(secret: str, message_id: str, moment: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, f"{message_id}.{moment}.".encode() + body, "sha256")).decode()
