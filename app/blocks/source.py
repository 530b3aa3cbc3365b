"""Rule: the page's program, styles and fonts become one ES module that asks no other host.

The files are read in the order of `SCRIPTS`, each under its own law, and joined once, when the
first page is made. Fonts travel as base64 inside the style sheet, so that a desk needs no route
but Panel's own.
"""

import base64
import json
from functools import cache
from pathlib import Path

ROOM = Path(__file__).parent
SCRIPTS = (
    *("format.js", "painter.js", "wire.js", "link.js", "store.js"),
    *("column.js", "condition.js", "grid.js"),
    *("arrangement.js", "look.js", "menu.js", "blotter.js", "heads.js"),
    *(
        "linekeys.js",
        "pointkeys.js",
        "lines.js",
        "input.js",
        "chart.js",
        "figure.js",
        "charts.js",
        "maps.js",
        "matrix.js",
    ),
    *("panel.js", "rights.js", "problem.js", "hover.js", "origin.js", "alerts.js"),
    "whatif.js",
    *(
        "tools.js",
        "stock.js",
        *("operations.js", "refused.js"),
        "risk.js",
        "portfolio.js",
        "trader.js",
        "around.js",
        "strip.js",
        "asof.js",
        *("arrange.js", "mine.js", "here.js", "palette.js", "files.js", "notice.js", "fdc3.js"),
        "inspect.js",
        "choices.js",
        "desk.js",
    ),
)
FONTS = (
    ("ibm-plex-sans-latin-400-normal.woff2", 400, "normal"),
    ("ibm-plex-sans-latin-400-italic.woff2", 400, "italic"),
    ("ibm-plex-sans-latin-600-normal.woff2", 600, "normal"),
)


def font_faces() -> str:
    """The three cuts of IBM Plex Sans as @font-face rules with their bytes inside."""
    rules = []
    for name, weight, style in FONTS:
        data = base64.b64encode((ROOM / "fonts" / name).read_bytes()).decode()
        rules.append(
            f'@font-face{{font-family:"Plex";font-weight:{weight};font-style:{style};'
            f'src:url(data:font/woff2;base64,{data}) format("woff2")}}'
        )
    return "".join(rules)


@cache
def module() -> str:
    """The whole ES module as text."""
    page = font_faces() + (ROOM / "tokens.css").read_text()
    desk = "".join((ROOM / name).read_text() for name in ("desk.css", "asof.css", "own.css"))
    head = f"const PAGE_STYLE = {json.dumps(page)};\nconst DESK_STYLE = {json.dumps(desk)};\n"
    return head + "\n".join((ROOM / name).read_text() for name in SCRIPTS)
