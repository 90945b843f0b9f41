"""Charts as PNG for mails, which drop SVG. Words stand beside them in the mail: a picture has figures alone, so it needs no fonts."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from kairan.i18n import number
from mailer.reports.charts import Series, nice_top

WIDTH, HEIGHT, SCALE = 600, 220, 2
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 26
PAPER, INK, GRID = "#ffffff", "#5b6472", "#e4e7ec"
COLOURS = ("#2f4bd0", "#0b7f6f", "#9aa3b2")
"""as tokens.css has them in light; a mail's dark mode leaves pictures as they are"""


def line_chart(series: Sequence[Series], labels: Sequence[str]) -> bytes:
    """600 by 220 px at twice the pixels. `labels`: one a value, of ASCII; empty where none is to stand."""
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(11 * SCALE)
    top, step = nice_top(max((value for line in series for value in line.values), default=0))
    last = max(1, max((len(line.values) for line in series), default=1) - 1)

    def x(place: int) -> float:
        return (LEFT + place * (WIDTH - LEFT - RIGHT) / last) * SCALE

    def y(value: float) -> float:
        return (TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)) * SCALE

    value = 0.0
    while value <= top:
        draw.line((LEFT * SCALE, y(value), (WIDTH - RIGHT) * SCALE, y(value)), fill=GRID, width=SCALE)
        draw.text(((LEFT - 8) * SCALE, y(value)), number(value), fill=INK, font=font, anchor="rm")
        value += step
    for place, label in enumerate(labels):
        if label:
            draw.text((x(place), (HEIGHT - 8) * SCALE), label, fill=INK, font=font, anchor="ls" if place == 0 else "ms")
    for line, colour in reversed(list(zip(series, COLOURS, strict=False))):
        points = [(x(place), y(value)) for place, value in enumerate(line.values)]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2 * SCALE, joint="curve")
    out = io.BytesIO()
    image.quantize(32).save(out, "PNG", optimize=True)
    return out.getvalue()
