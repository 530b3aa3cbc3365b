"""A desk that is one grid of 40 columns, for tests and for `bench painter`."""

from app.blocks import Desk, Grid
from compute.table import ANALYTICS, INSTRUMENTS

FIRST = [name for name in INSTRUMENTS.names if name != "state"]
BESIDE = [name for name in ANALYTICS.names if name not in INSTRUMENTS.names]

Desk("Wide", centre=[Grid("Wide", columns=[*FIRST, *BESIDE[: 40 - len(FIRST)]])]).servable()
