"""Pictures: whatever is uploaded, what is kept is ours, upright, without metadata; what is hostile harms nobody and is told why."""

import io
import os
import zlib
from struct import pack

import pytest
from PIL import Image

from mailer.media import pictures
from mailer.media.pictures import NotAPicture


def saved(image: Image.Image, kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def opened(data: bytes) -> tuple[Image.Image, str, tuple[int, int]]:
    encoded, extension, size = pictures._encoded(data)
    return Image.open(io.BytesIO(encoded)), extension, size


def animation(frames: int, size: tuple[int, int] = (40, 30)) -> bytes:
    drawn = [Image.new("RGB", size, (at % 255, 0, at // 255 * 50)) for at in range(frames)]
    return saved(drawn[0], "GIF", save_all=True, append_images=drawn[1:], duration=50, loop=2)


def test_a_photograph_is_upright_small_enough_and_tells_nothing_of_its_camera() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera of Ada"  # turned by a quarter
    image, extension, size = opened(saved(Image.new("RGB", (3_000, 1_000), "#c96a2b"), "JPEG", exif=exif))

    assert (extension, image.size, size) == ("jpg", (1_000, 3_000), (1_000, 3_000))
    assert not dict(image.getexif()) and b"Ada" not in pictures._encoded(saved(Image.new("RGB", (9, 9)), "JPEG", exif=exif))[0]


def test_a_wide_picture_is_twice_as_wide_as_the_widest_mail() -> None:
    assert opened(saved(Image.new("RGB", (2_880, 1_000)), "JPEG"))[2] == (1_440, 500)
    assert opened(saved(Image.new("RGB", (600, 200)), "JPEG"))[2] == (600, 200)


def test_what_is_transparent_stays_so() -> None:
    image, extension, _size = opened(saved(Image.new("RGBA", (10, 10), (1, 2, 3, 0)), "WEBP"))
    assert extension == "png" and image.mode == "RGBA" and image.getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_an_animation_goes_on_moving() -> None:
    image, extension, size = opened(animation(5))
    assert (extension, size, image.n_frames, image.info["loop"]) == ("gif", (40, 30), 5, 2)


def bomb(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1_000)) + chunk(b"IEND", b"")


JPEG = saved(Image.effect_noise((300, 300), 50).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bomb(20_000, 20_000), "million pixels"),
        (bomb(1_000, 1_000), "no PNG"),
        (animation(10_000, (4, 4)), "at most 120"),
        (JPEG[: len(JPEG) // 2], "no PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "no PNG"),
        (b"GIF89a/*<script>alert(1)</script>*/", "no PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no PNG"),
        (b"", "no PNG"),
        (os.urandom(100_000), "no PNG"),
        (b"\0" * (pictures.BYTES_MAX + 1), "larger than 10 MB"),
    ],
    ids=["400 megapixels", "no pixels", "10,000 frames", "half a JPEG", "SVG", "GIF or script", "EPS", "empty", "noise", "11 MB"],
)
def test_what_is_no_picture_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(NotAPicture, match=said):
        pictures._encoded(data)


def test_what_is_hidden_behind_a_picture_is_left_behind() -> None:
    encoded, _extension, _size = pictures._encoded(saved(Image.new("RGB", (9, 9)), "PNG") + b"PK\x03\x04<script>alert(1)</script>")
    assert b"script" not in encoded and b"PK" not in encoded
