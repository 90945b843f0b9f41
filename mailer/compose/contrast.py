"""How well words can be told from what is behind them (WCAG 2.2, relative luminance and contrast ratio)."""


def ratio(one: str, other: str) -> float:
    """From 1 to 21, of two colours such as #2f4bd0. 4.5 is needed for words (1.4.3), 3 for the edge of a button (1.4.11)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
