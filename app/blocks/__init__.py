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
)
from ingest.instrument import AssetClass

__all__ = [
    "Alerts",
    "AssetClass",
    "Bars",
    "Block",
    "Books",
    "Chart",
    "Curve",
    "Desk",
    "Execution",
    "Exposure",
    "Exposures",
    "Feed",
    "Glass",
    "Grid",
    "KeyRates",
    "Limits",
    "Orders",
    "Scenarios",
    "Strip",
    "Treemap",
    "ValueAtRisk",
]
