"""Desk: what the fund can lose, where, and who has been told."""

from app.blocks import (
    Alerts,
    Desk,
    Execution,
    Exposures,
    Grid,
    KeyRates,
    Limits,
    Orders,
    Scenarios,
    ValueAtRisk,
    WhatIf,
)

MARK = ["mark", "mark_source", "ts_mark"]
PNL = ["pnl", "day_pnl", "overnight", "intraday", "realised", "unrealised", "income", "fees"]
GREEKS = ["delta_usd", "beta_usd", "gamma_usd", "vega_usd", "theta_usd", "dv01_usd", "cs01_usd"]
LOSSES = ["worst_usd", "component_usd", "incremental_usd", "days_to_exit"]
COST = ["average", "mean_average", "mean_realised", "fifo_average", "fifo_realised"]
PAID = ["dividends", "coupons", "funding", "borrow", "day_translation", "fx"]

Desk(
    "Risk",
    left=[Limits(), Alerts()],
    centre=[
        Exposures(height=359, narrow=239),
        Grid(
            "Positions",
            table="positions",
            sets={
                "P&L": ["book", "quantity", *MARK, "value", *PNL, "translation", "exit_value"],
                "Risk": ["book", "quantity", *MARK, "value", *GREEKS, *LOSSES],
                "Cost": ["book", "quantity", "mark", *COST, *PAID],
            },
        ),
    ],
    foot=[Scenarios(), KeyRates()],
    right=[
        ValueAtRisk(height=239, narrow=139),
        WhatIf(height=419, narrow=339),
        Execution(height=199, narrow=119),
        Orders(),
    ],
    widths=(408, 444, 312, 320),
).servable()
