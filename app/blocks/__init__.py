"""Door: the public vocabulary of desks. A layout imports from here and from nowhere else."""

from app.blocks.block import (
    Bars,
    Block,
    Books,
    Chart,
    Curve,
    Exposure,
    Feed,
    Glass,
    Grid,
    Strip,
    Treemap,
)
from app.blocks.charts import (
    Candles,
    Depth,
    Heatmap,
    Ladder,
    Lines,
    PnlCurve,
    PositionMap,
    Smile,
)
from app.blocks.desk import Desk
from app.blocks.risk import (
    Alerts,
    Execution,
    Exposures,
    KeyRates,
    Limits,
    Orders,
    Scenarios,
    ValueAtRisk,
    WhatIf,
)
from app.blocks.stock import Stock, bind
from ingest.instrument import AssetClass

__all__ = [
    "Alerts",
    "AssetClass",
    "Bars",
    "Block",
    "Books",
    "Candles",
    "Chart",
    "Curve",
    "Depth",
    "Desk",
    "Execution",
    "Exposure",
    "Exposures",
    "Feed",
    "Glass",
    "Grid",
    "Heatmap",
    "KeyRates",
    "Ladder",
    "Limits",
    "Lines",
    "Orders",
    "PnlCurve",
    "PositionMap",
    "Scenarios",
    "Smile",
    "Stock",
    "Strip",
    "Treemap",
    "ValueAtRisk",
    "WhatIf",
    "bind",
]
