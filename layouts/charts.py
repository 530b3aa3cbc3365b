"""Desk: one instrument seen from all sides, and the fund beside it."""

from app.blocks import (
    Candles,
    Depth,
    Desk,
    Grid,
    Heatmap,
    Ladder,
    Lines,
    PnlCurve,
    PositionMap,
    Smile,
)

QUOTES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vs_vwap", "volume", "ts_event"]

Desk(
    "Charts",
    left=[
        Depth(height=499, narrow=339),
        PositionMap(),
    ],
    centre=[
        Candles(height=399, narrow=259),
        Grid("Instruments", columns=QUOTES),
    ],
    foot=[Lines(height=219, narrow=161), PnlCurve(height=219, narrow=161)],
    right=[
        Smile(height=259, narrow=199),
        Ladder(height=379, narrow=259),
        Heatmap(),
    ],
    widths=(384, 520, 280, 400),
).servable()
