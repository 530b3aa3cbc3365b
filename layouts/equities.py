"""Desk: a trader of shares and funds."""

from app.blocks import AssetClass, Candles, Depth, Desk, Grid, Lines, Orders, Tiles

QUOTES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volume"]
MOVES = ["last", "open", "high", "low", "gap_overnight", "volatility", "realised", "trades"]
HELD = ["position", "exposure", "pnl", "ts_event"]

Desk(
    "Equities",
    left=[Tiles(), Depth()],
    centre=[
        Candles(height=399, narrow=259),
        Grid(
            "Shares and funds",
            sets={"Quotes": [*QUOTES, *HELD], "Moves": [*MOVES, *HELD]},
            classes=[AssetClass.EQUITY, AssetClass.ETF],
        ),
    ],
    right=[Lines(height=319, narrow=239), Orders()],
    widths=(360, 448, 280, 320),
).servable()
