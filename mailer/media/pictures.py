"""Pictures for mails: read by Pillow within limits, written anew without metadata, named by their content."""

import json
import subprocess
import sys
from datetime import datetime
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.media import Medium
from mailer.media import encoder

BYTES_MAX = 10 * 1024 * 1024
ENCODER_TIMEOUT_S = 30
TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif"}


class NotAPicture(ValueError):
    """The bytes are no picture we take; the message says what we take."""


def store(session: Session, data: bytes, *, name: str, alt: str, now: datetime) -> Medium:
    """Keeps our own encoding of the picture; the same picture is kept once. Raises NotAPicture."""
    encoded, extension, size = _encoded(data)
    key = sha256(encoded).hexdigest()
    found = session.execute(select(Medium).where(Medium.hash == key)).scalar_one_or_none()
    if found is not None:
        return found
    row = Medium(hash=key, extension=extension, width=size[0], height=size[1], name=name[:200], alt=alt, data=encoded, created_at=now)
    session.add(row)
    session.flush()
    return row


def find(session: Session, key: str, extension: str) -> bytes | None:
    """The bytes behind `/m/HASH.ext`."""
    return session.execute(select(Medium.data).where(Medium.hash == key, Medium.extension == extension)).scalar_one_or_none()


def path(medium: Medium) -> str:
    return f"/m/{medium.hash}.{medium.extension}"


def _encoded(data: bytes) -> tuple[bytes, str, tuple[int, int]]:
    if len(data) > BYTES_MAX:
        raise NotAPicture(_("The file is larger than %(count)s MB.", count=BYTES_MAX >> 20))
    # A process of its own: bytes that break a decoder, or fill its memory, break nothing else.
    try:
        made = subprocess.run(
            [sys.executable, "-m", "mailer.media.encoder"], input=data, capture_output=True, timeout=ENCODER_TIMEOUT_S, check=True
        )
        head, _newline, encoded = made.stdout.partition(b"\n")
        told = json.loads(head)
    except (subprocess.SubprocessError, ValueError) as error:
        raise NotAPicture(_refusal("no_picture")) from error
    if reason := told.get("refused"):
        raise NotAPicture(_refusal(reason))
    return encoded, told["extension"], (told["width"], told["height"])


def _refusal(reason: str) -> str:
    said = {
        "pixels": _("The picture has more than %(count)s million pixels.", count=encoder.PIXELS_MAX // 1_000_000),
        "frames": _("The animation is too long or too large: at most %(count)s pictures.", count=encoder.FRAMES_MAX),
    }
    return said.get(reason) or _("This is no PNG, JPEG, GIF or WebP picture that can be read.")
