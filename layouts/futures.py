"""Desk: a trader of futures: the term of each product, its contracts, ladder and candles."""

from app.blocks import AssetClass, Candles, Depth, Desk, Grid, Lines, Term, Tiles

QUOTES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volume"]
HELD = ["position", "exposure", "pnl", "ts_event"]

Desk(
    "Futures",
    left=[Tiles(), Depth()],
    centre=[
        Term(height=319, narrow=219),
        Grid(
            "Futures",
            columns=[*QUOTES, *HELD],
            classes=[
                AssetClass.INDEX_FUTURE,
                AssetClass.RATES_FUTURE,
                AssetClass.COMMODITY_FUTURE,
            ],
        ),
    ],
    right=[Candles(height=499, narrow=339), Lines()],
    widths=(360, 520, 280, 336),
).servable()
