"""Door: stock Bokeh, HoloViews or Panel beside our own blocks, on the same numbers.

A `Stock` block has a ColumnDataSource with a viewport of a table: one array a column, `rows`
long, blank where the view has fewer rows. The desk's own pushes keep it current in the page:
cells go into its arrays and Bokeh is told by the signal of its own `patch`, so that glyphs
repaint, and nothing travels twice. On the server the document holds the source blank: whoever
joins late or comes back is sent the numbers by the push that follows, as every page is.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, DataRange1d

from app.blocks.block import Block, grid_feed
from app.blocks.problem import attempt

ROWS_MAX = 400  # What a viewport may have.


@dataclass(frozen=True, slots=True)
class Stock(Block):
    """What `make` makes of a source: a Bokeh figure, a HoloViews element, a panel.

    The source has the named columns of the first `rows` rows of the table.
    """

    make: Callable[[ColumnDataSource], Any] = pn.pane.Str
    table: str = "instruments"
    columns: Sequence[str] = field(default_factory=tuple)
    rows: int = 45
    height: int = 300
    narrow: int | None = 220

    kind = "stock"

    def __post_init__(self) -> None:
        """ValueError where a viewport cannot have so many rows."""
        if not 0 < self.rows <= ROWS_MAX:
            raise ValueError(f"a source has 1 to {ROWS_MAX} rows, not {self.rows}")

    def own(self) -> dict[str, dict[str, Any]]:
        """A viewport of its own, that no scrolling moves."""
        return {"cells": grid_feed(self.table, self.columns, 0, self.rows)}

    def made(self) -> tuple[str, Any]:
        """For one page: the name of its source, and what is shown, or what went wrong."""
        name, shown, wrong = self.tried()
        shape = {"sizing_mode": "stretch_both", "margin": 0}
        # In a shadow root of Panel's, which knows the desk's tokens and none of its rules.
        look = ["pre { color: var(--text); font: inherit; white-space: pre-wrap; padding: 8px }"]
        return name, shown or pn.pane.Str(f"This block failed: {wrong}", stylesheets=look, **shape)

    def tried(self, file: str = "") -> tuple[str, Any, str]:
        """Name, what is shown or None, and what went wrong, told of `file`."""
        blank = {name: np.full(self.rows, np.nan) for name in self.columns}
        source = ColumnDataSource(blank)
        source.name = f"tickglass-{source.id}"
        shape = {"sizing_mode": "stretch_both", "margin": 0}
        return source.name, *attempt(
            lambda: pn.panel(bound(self.make(source), source), **shape), file
        )


def bound(made: Any, source: ColumnDataSource) -> Any:
    """A HoloViews element made of the blank source shows it; anything else is as it was made."""
    holoviews = sys.modules.get("holoviews")
    if holoviews is None:
        return made
    if isinstance(made, holoviews.Overlay | holoviews.Layout):
        return made.map(lambda one: bound(one, source), holoviews.Element)
    if not isinstance(made, holoviews.Element):
        return made
    names = [dimension.name for dimension in made.dimensions()]
    ours = set(names) <= source.data.keys() and all(
        np.isnan(made.dimension_values(name)).all() for name in names
    )
    return bind(made, source) if ours else made


def bind(element: Any, source: ColumnDataSource) -> Any:
    """A HoloViews element whose glyph shows `source`, in which its dimensions are columns."""
    from holoviews import Store  # Only layouts that draw with it pay for it.

    def hook(plot: Any, _element: Any) -> None:
        plot.handles["glyph_renderer"].data_source = source
        for axis in "xy":  # Their ends were found in blank numbers, unless the layout says them.
            if all(end is None or np.isnan(end) for end in getattr(plot, f"{axis}lim", ())):
                setattr(plot.state, f"{axis}_range", DataRange1d())

    if not Store.loaded_backends():
        import_module("holoviews.plotting.bokeh")  # As hv.extension does, without a notebook.
        Store.set_current_backend("bokeh")
    return element.opts(hooks=[hook])
