"""Desk: a trader of currencies: pairs with big figure and pips, forwards, candles."""

from app.blocks import AssetClass, Candles, Depth, Desk, Grid, Lines, Pairs, Term, Tiles

QUOTES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volatility"]
HELD = ["position", "exposure", "pnl", "ts_event"]

Desk(
    "FX",
    left=[Tiles(), Depth()],
    centre=[
        Pairs(height=335, narrow=255),
        Grid("Pairs and forwards", columns=[*QUOTES, *HELD], classes=[AssetClass.FX]),
    ],
    right=[Candles(height=399, narrow=279), Term(height=219, narrow=159), Lines()],
    widths=(360, 448, 280, 320),
).servable()
