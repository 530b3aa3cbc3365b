"""A desk for tests: a stock Bokeh figure and a HoloViews element beside the grid."""

import holoviews as hv
from bokeh.plotting import figure

from app.blocks import Desk, Grid, Stock, bind

hv.extension("bokeh")
COLUMNS = ["bid", "ask"]


def scatter(source):
    shown = figure(sizing_mode="stretch_both", output_backend="canvas")
    shown.scatter("bid", "ask", source=source)
    return shown


def points(source):
    return bind(hv.Points(source.data, ["bid", "ask"]), source)


Desk(
    "Stock",
    centre=[Grid("Blotter", columns=["bid", "ask", "last"])],
    right=[
        Stock("Bokeh", make=scatter, columns=COLUMNS, rows=12),
        Stock("HoloViews", make=points, columns=COLUMNS, rows=12),
    ],
).servable()
