"""The tokens: contrast recomputed from the hex values, WCAG 2.1."""

import re
from pathlib import Path

import pytest

from app.blocks import source

STYLE = (Path(source.__file__).parent / "tokens.css").read_text()
TEXTS = ("text", "text2", "text3", "up", "down", "zero", "warn", "crit", "ok", "vwap")


def tokens(theme: str) -> dict[str, str]:
    """Name -> hex of one theme; the light one stands on the dark one."""
    dark, _, light = STYLE.partition('[data-theme="light"]')
    read = lambda part: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part))
    return read(dark) | (read(light) if theme == "light" else {})


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("ground", ["panel", "lift", "select"])
def test_texts_can_be_read(theme: str, ground: str) -> None:
    known = tokens(theme)
    low = {name: contrast(known[name], known[ground]) for name in TEXTS}
    assert min(low.values()) >= 4.5, low


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_marks_can_be_seen(theme: str) -> None:
    known = tokens(theme)
    for name in ("edge", "up-fill", "down-fill", "focus"):
        assert contrast(known[name], known["panel"]) >= 3.0, name
    assert contrast(known["on-solid"], known["crit"]) >= 4.5


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("side", ["up", "down"])
def test_text_on_the_strongest_flash_can_be_read(theme: str, side: str) -> None:
    known = tokens(theme)
    ground, fill = known["panel"], known[f"{side}-fill"]
    parts = ((int(ground[i : i + 2], 16), int(fill[i : i + 2], 16)) for i in (1, 3, 5))
    mixed = "#" + "".join(f"{round(0.25 * a + 0.75 * b):02x}" for a, b in parts)
    assert contrast(known["text"], mixed) >= 4.5


def test_the_module_is_whole_and_asks_nobody() -> None:
    module = source.module()
    assert module.count("@font-face") == 3
    assert not re.findall(r"https?://(?!127\.0\.0\.1)", module)
