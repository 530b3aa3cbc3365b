"""Desk: a portfolio manager's books, positions, and what the day's P&L came of."""

from app.blocks import (
    Attribution,
    BookTree,
    Candles,
    Desk,
    Exposure,
    Grid,
    Notes,
    PnlCurve,
    Selectors,
    Waterfall,
)

MARK = ["mark", "mark_source", "ts_mark"]
DAY = ["day_pnl", "overnight", "intraday", "day_translation"]
GREEKS = ["delta_usd", "gamma_usd", "vega_usd", "theta_usd", "dv01_usd"]
PAID = ["income", "fees", "funding", "coupons", "dividends", "borrow"]

Desk(
    "Portfolio",
    left=[Selectors(), BookTree(), Exposure()],
    centre=[
        Attribution(height=299, narrow=239),
        Grid(
            "Positions",
            table="positions",
            sets={
                "Day": ["book", "quantity", *MARK, "value", *DAY, "pnl", "unrealised"],
                "Risk": ["book", "quantity", *MARK, "value", *GREEKS, "day_pnl"],
                "Carry": ["book", "quantity", "value", *PAID, "day_pnl", "pnl"],
            },
        ),
    ],
    foot=[PnlCurve("P&L curve", height=219, narrow=161)],
    right=[Waterfall(height=299, narrow=279), Candles(), Notes()],
    widths=(400, 448, 296, 336),
).servable()
