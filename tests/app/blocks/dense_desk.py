"""The overview with a grid of 15 columns that all change at once, for `bench painter`."""

from app.blocks import Books, Chart, Desk, Exposure, Feed, Glass, Grid, PnlCurve, Treemap

COLUMNS = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volatility"]
MORE = ["volume", "vwap_1m", "vwap_5m", "realised", "trades", "last_size"]

Desk(
    "Dense",
    left=[Books(), Exposure()],
    centre=[Grid("Dense", columns=[*COLUMNS, *MORE])],
    foot=[PnlCurve(height=161, narrow=150, span=30), Treemap("Exposure map")],
    right=[Chart(), Feed(), Glass()],
    widths=(220, 300, 220, 300),
).servable()
