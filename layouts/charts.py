"""Desk: one instrument seen from all sides, and the fund beside it."""

from app.blocks import (
    AsOf,
    Candles,
    Depth,
    Desk,
    Filter,
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
        Filter(),
        AsOf(),
        Depth(height=399, narrow=239),
        PositionMap(),
    ],
    centre=[
        Candles(height=399, narrow=219),
        Grid("Instruments", columns=QUOTES),
    ],
    foot=[Heatmap(height=259, narrow=219)],
    right=[
        Smile(height=239, narrow=179),
        Ladder(height=299, narrow=239),
        Lines(),
        PnlCurve(),
    ],
    widths=(384, 520, 280, 400),
).servable()
