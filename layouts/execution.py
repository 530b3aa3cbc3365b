"""Desk: what execution cost, by book, trader and venue, and the orders behind it."""

from app.blocks import Candles, Costs, Desk, Grid, Orders, Slippage, Tiles

ORDER = ["ts_order", "size", "price", "arrival", "vwap", "decision", "done", "fills", "worth"]
COST = ["arrival_bp", "arrival_usd", "vwap_bp", "decision_bp", "fees"]

Desk(
    "Execution",
    left=[
        Costs("By book", height=259, narrow=219, by="book"),
        Costs("By trader", height=219, narrow=179, by="trader"),
        Costs("By venue", by="venue"),
    ],
    centre=[
        Slippage(height=299, narrow=199),
        Orders("Orders and fills", height=499, narrow=219, columns=[*ORDER, *COST]),
        Grid("Market", columns=["bid", "ask", "last", "vwap", "change", "volume", "ts_event"]),
    ],
    right=[Tiles(), Candles()],
    widths=(560, 400, 400, 280),
).servable()
