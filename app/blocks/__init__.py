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

__all__ = [
    "Bars",
    "Block",
    "Books",
    "Chart",
    "Curve",
    "Desk",
    "Exposure",
    "Feed",
    "Glass",
    "Grid",
    "Strip",
    "Treemap",
]
