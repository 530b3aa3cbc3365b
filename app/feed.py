"""Rule: what one block of a page is fed, how far it is, and what a wish of the page changes.

A feed is a viewport of a table, the series of one instrument, or the status. It is compared by
its attributes: pages whose feeds are equal are sent the same bytes.
"""

from typing import Any

import numpy as np

from app.grouping import group_key
from app.rights import ALL, Rights
from app.view import (
    BY_CLASS,
    BY_SYMBOL,
    UNSORTED,
    ViewKey,
    find_column,
    match_key,
    view_key,
)

PLACE_MAX = 1 << 31  # No view has so many rows; what is told of one has 32 bits.
SORTS_MAX = 4  # Columns that one sort may name.


class Feed:
    """What one block of a page is fed: a viewport, a series, or the status."""

    def __init__(self, index: int, spec: dict[str, Any], rights: Rights = ALL) -> None:
        """`spec` is one entry of the desk's list of feeds; `rights` are of who looks."""
        self.index, self.kind, self.rights = index, spec["kind"], rights
        self.key: ViewKey | None = None
        self.first, self.count, self.version = 0, 0, -1
        self.since, self.turn = -1, -1  # Of a table of totals: what it has, when it was sent.
        if self.kind == "grid":
            key = view_key(spec["table"], spec["columns"], spec.get("match"))
            self.key = key._replace(rights=rights)
            self.count = int(spec.get("rows", 0))
        self.row = int(spec.get("row", -1))
        self.series_ms = -1.0  # t of the newest point sent; -1: send the whole series
        self.series_at = -1  # The turn in which it was sent.
        self.earlier: np.ndarray | None = None  # What the record has of the series, [n, 4].
        self.status_at = 0

    def forget(self) -> None:
        """The page has nothing of it."""
        self.version, self.series_ms, self.status_at = -1, -1.0, 0
        self.since, self.turn = -1, -1

    def entitle(self, rights: Rights) -> None:
        """Who looks may see something else from now on; the page has nothing of it yet."""
        self.rights = rights
        if self.key:
            self.key = self.key._replace(rights=rights, held=0)
        self.forget()

    @property
    def state(self) -> tuple[Any, ...]:
        """All of it, to be compared; arrays by which they are."""
        return tuple(id(v) if isinstance(v, np.ndarray) else v for v in vars(self).values())


def change(feed: Feed, message: dict[str, Any]) -> None:
    """Do what a message of the page says; KeyError and ValueError where it makes no sense."""
    if feed.key is None:
        return
    kind = message["type"]
    if kind == "viewport":
        feed.first, feed.count = (
            min(max(int(message[name]), 0), PLACE_MAX) for name in ("first", "count")
        )
    elif kind == "columns":
        places = {int(place) for place in message["shown"]}
        feed.key = feed.key._replace(shown=tuple(sorted(places & {*range(len(feed.key.columns))})))
    elif kind == "group":
        feed.key = group_key(feed.key, message)._replace(held=0)
    elif kind == "sort":
        named = message.get("by") or [[message.get("column"), message.get("descending")]]
        by = [_sorted_by(feed.key.table, name, last) for name, last in named[:SORTS_MAX]]
        (column, descending), *then = by
        feed.key = feed.key._replace(sort=column, descending=descending, then=tuple(then), held=0)
    else:
        classes = tuple(sorted(int(value) for value in message.get("classes") or ()))
        text = str(message.get("text") or "")[:64]
        match = match_key(feed.key.table, message)
        feed.key = feed.key._replace(classes=classes, text=text, match=match, held=0)
        feed.first = 0


def _sorted_by(table: str, name: str | None, descending: Any) -> tuple[int, bool]:
    special = {None: UNSORTED, "symbol": BY_SYMBOL, "class": BY_CLASS}
    column = special[name] if name in special else find_column(table, str(name))[0]
    return column, bool(descending)
