"""Desk: a trader of options: chain, smile, term and what is held."""

from app.blocks import AssetClass, Candles, Chain, Desk, Grid, Scenarios, Smile, Tiles, VolTerm

GREEKS = ["bid", "ask", "implied", "delta", "gamma", "vega", "theta", "position", "pnl"]

Desk(
    "Options",
    centre=[
        Chain(height=319, narrow=259),
        Grid(
            "Options",
            columns=[*GREEKS, "ts_event"],
            classes=[AssetClass.EQUITY_OPTION, AssetClass.FUTURE_OPTION],
        ),
    ],
    left=[Tiles(height=219, narrow=219), Scenarios(height=199, narrow=161), VolTerm()],
    right=[Smile(height=459, narrow=299), Candles()],
    widths=(448, 480, 360, 320),
).servable()
