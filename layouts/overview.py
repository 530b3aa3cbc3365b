"""Desk: the whole fund on one page."""

from app.blocks import Bars, Books, Chart, Curve, Desk, Exposure, Feed, Glass, Grid, Treemap

PRICES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap"]
RISK = ["volatility", "volume", "position", "exposure", "pnl", "ts_event"]

Desk(
    "Overview",
    left=[
        Books(),
        Exposure(),
        Bars("P&L by class", "USD k", 299, 0, "classes", "Class", "pnl", ["pnl", "positions"]),
        Exposure(
            "Exposure by book", height=0, narrow=None, table="books", head="Book", total=False
        ),
    ],
    centre=[Grid("Blotter", columns=[*PRICES, *RISK])],
    foot=[Curve("P&L today"), Treemap("Exposure map")],
    right=[Chart(), Feed(), Glass()],
).servable()
