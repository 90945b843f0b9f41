"""Pictures for mails: read by Pillow within limits, written anew without metadata, named by their content."""

import io
from datetime import datetime
from hashlib import sha256

from PIL import Image, UnidentifiedImageError
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.media import Medium

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
PIXELS_MAX = 25_000_000
"""Pillow only warns between 89 and 179 million"""
BYTES_MAX = 10 * 1024 * 1024
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
        raise NotAPicture(f"the file is larger than {BYTES_MAX >> 20} MB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > PIXELS_MAX:
                raise NotAPicture(f"the picture has more than {PIXELS_MAX // 1_000_000} million pixels")
            picture.load()
            transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
            out = io.BytesIO()
            if transparent or picture.format in ("PNG", "GIF"):
                picture.convert("RGBA").save(out, "PNG", optimize=False)
                return out.getvalue(), "png", picture.size
            picture.convert("RGB").save(out, "JPEG", quality=82)
            return out.getvalue(), "jpg", picture.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, NotAPicture):
            raise
        raise NotAPicture("this is no PNG, JPEG, GIF or WebP picture") from error
