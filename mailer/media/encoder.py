"""Writes a picture anew, in a process of its own with little memory and time: `python -m mailer.media.encoder < picture`.

Hostile bytes meet a decoder here and nowhere else. Standard output is one line of JSON, then the picture; or a line that says why not.
"""

import io
import json
import resource
import sys
import warnings

MEMORY_MAX = 1_500 * 1024 * 1024
CPU_SECONDS_MAX = 20
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
PIXELS_MAX = 25_000_000
"""Pillow only warns between 89 and 179 million"""
WIDTH_MAX = 1_440
"""twice the widest mail: one file is sharp on every screen, since mails give each picture its width"""
FRAMES_MAX = 120
FRAME_PIXELS_MAX = 40_000_000
"""of all frames together"""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # standard output is a pipe
    warnings.simplefilter("ignore")
    try:
        data, told = _encoded(sys.stdin.buffer.read())
    except Refused as why:
        data, told = b"", {"refused": str(why)}
    except Exception:
        data, told = b"", {"refused": "no_picture"}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + data)


class Refused(Exception):
    """Its text is a reason that mailer.media.pictures puts into words."""


def _encoded(data: bytes) -> tuple[bytes, dict[str, object]]:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # its limit is ours, a line below
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > PIXELS_MAX:
            raise Refused("pixels")
        if picture.format in ("GIF", "WEBP") and getattr(picture, "is_animated", False):
            return _animated(picture)
        picture.load()
        transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
        drawn = picture.format in ("PNG", "GIF")
        upright = ImageOps.exif_transpose(picture)
        still = upright.convert("RGBA" if transparent or drawn else "RGB")
        if still.width > WIDTH_MAX:
            still = still.resize((WIDTH_MAX, max(1, round(still.height * WIDTH_MAX / still.width))), Image.Resampling.LANCZOS)
        if drawn and not transparent:
            still = still.convert("RGB")
        out = io.BytesIO()
        if transparent or drawn:
            still.save(out, "PNG")
        else:
            still.save(out, "JPEG", quality=82, progressive=True)
        return out.getvalue(), {"extension": "png" if transparent or drawn else "jpg", "width": still.width, "height": still.height}


def _animated(picture: object) -> tuple[bytes, dict[str, object]]:
    """As a GIF, which is what mail programs play. Frames are counted before they are read."""
    from PIL import Image, ImageSequence

    assert isinstance(picture, Image.Image)
    count = getattr(picture, "n_frames", 1)
    if count > FRAMES_MAX or count * picture.width * picture.height > FRAME_PIXELS_MAX:
        raise Refused("frames")
    scale = min(1.0, WIDTH_MAX / picture.width)
    size = (round(picture.width * scale), max(1, round(picture.height * scale)))
    frames, durations = [], []
    for frame in ImageSequence.Iterator(picture):
        durations.append(max(20, int(frame.info.get("duration", 100))))
        drawn = frame.convert("RGBA")
        frames.append(drawn if drawn.size == size else drawn.resize(size, Image.Resampling.LANCZOS))
    out = io.BytesIO()
    loop = int(picture.info.get("loop", 0))
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=loop, disposal=2, comment=b"")
    return out.getvalue(), {"extension": "gif", "width": size[0], "height": size[1]}


if __name__ == "__main__":
    main()
