"""Desk: what runs, how well, and what was wrong."""

from app.blocks import (
    Changes,
    Clocks,
    Desk,
    Feed,
    Glass,
    Grid,
    Line,
    Refused,
    Roles,
    Servers,
    Stages,
)

Desk(
    "Operations",
    left=[Refused(), Line(), Clocks()],
    centre=[
        Roles(height=299, narrow=279),
        Grid("Instruments", columns=["gaps", "trades", "volume", "bid", "ask", "last", "ts_event"]),
    ],
    foot=[Stages(), Servers()],
    right=[Feed(height=399, narrow=359), Glass(), Changes()],
    widths=(320, 448, 264, 336),
).servable()
