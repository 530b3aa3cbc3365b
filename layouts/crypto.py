"""Desk: a trader of coins: spot and perpetuals by venue, basis, funding, candles."""

from app.blocks import AssetClass, Basis, Candles, Depth, Desk, Grid, Lines, Tiles

QUOTES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volatility"]
HELD = ["volume", "position", "exposure", "pnl", "ts_event"]

Desk(
    "Crypto",
    left=[Tiles(), Basis(height=179, narrow=139), Lines()],
    centre=[
        Candles(height=399, narrow=259),
        Grid(
            "Coins and perpetuals",
            columns=[*QUOTES, *HELD],
            classes=[AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL],
        ),
    ],
    right=[Depth()],
    widths=(448, 400, 336, 280),
).servable()
