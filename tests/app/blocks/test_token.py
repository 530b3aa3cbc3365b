"""The tokens: contrast recomputed from the hex values, WCAG 2.1."""

import re
from pathlib import Path

import pytest

from app.blocks import source

STYLE = (Path(source.__file__).parent / "tokens.css").read_text()
TEXTS = ("text", "text2", "text3", "up", "down", "zero", "warn", "crit", "ok", "vwap")


BLOCKS = re.compile(r"^(:root|\[data-[^{]*?\]) \{(.*?)\}", re.MULTILINE | re.DOTALL)
PALETTES = ("blue", "green", "red")


def tokens(theme: str, palette: str = "blue") -> dict[str, str]:
    """Name -> hex; each block of the style sheet that applies stands on those before."""
    known: dict[str, str] = {}
    for selector, body in BLOCKS.findall(STYLE):
        wanted = re.findall(r'\[data-(theme|palette|density)="(\w+)"\]', selector)
        chosen = {"theme": theme, "palette": palette, "density": "normal"}
        if all(chosen[name] == value for name, value in wanted):
            known |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", body))
    return known


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("ground", ["panel", "lift", "select"])
def test_texts_can_be_read(theme: str, ground: str, palette: str) -> None:
    known = tokens(theme, palette)
    low = {name: contrast(known[name], known[ground]) for name in TEXTS}
    assert min(low.values()) >= 4.5, low


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_marks_can_be_seen(theme: str, palette: str) -> None:
    known = tokens(theme, palette)
    for name in ("edge", "up-fill", "down-fill", "focus"):
        assert contrast(known[name], known["panel"]) >= 3.0, name
    assert contrast(known["on-solid"], known["crit"]) >= 4.5


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("side", ["up", "down"])
def test_text_on_the_strongest_flash_can_be_read(theme: str, side: str, palette: str) -> None:
    known = tokens(theme, palette)
    ground, fill = known["panel"], known[f"{side}-fill"]
    parts = ((int(ground[i : i + 2], 16), int(fill[i : i + 2], 16)) for i in (1, 3, 5))
    mixed = "#" + "".join(f"{round(0.25 * a + 0.75 * b):02x}" for a, b in parts)
    assert contrast(known["text"], mixed) >= 4.5


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_figures_on_bars_and_heat_can_be_read(theme: str, palette: str) -> None:
    known = tokens(theme, palette)
    for side in ("up", "down"):
        for text in ("text", "text2", side):
            assert contrast(known[text], known[f"{side}-wash"]) >= 4.5, (side, text)


# Machado, Oliveira and Fernandes 2009, full severity, on linear RGB.
DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.01182, 0.04294, 0.968881),
)
PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
DISTANCE_MIN = 40.0  # CIE76; 2.3 is the least that is seen side by side.


def lab_of(color: str, kind: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of a colour as somebody with `kind` of colour blindness sees it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    r, g, b = (sum(w * c for w, c in zip(row, linear, strict=True)) for row in kind)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("kind", [DEUTERANOPIA, PROTANOPIA])
def test_rise_and_fall_are_apart_for_the_colour_blind(theme: str, kind: tuple) -> None:
    known = tokens(theme)
    up, down = lab_of(known["up"], kind), lab_of(known["down"], kind)
    assert sum((a - b) ** 2 for a, b in zip(up, down, strict=True)) ** 0.5 >= DISTANCE_MIN


def test_the_module_is_whole_and_asks_nobody() -> None:
    module = source.module()
    assert module.count("@font-face") == 3
    assert not re.findall(r"https?://(?!127\.0\.0\.1)", module)
