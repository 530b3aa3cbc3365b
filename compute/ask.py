"""Shape: what people ask of `risk`, and what it answers. JSON both ways.

{"type": "acknowledge", "alert": ID, "person": NAME}       with "id" if an answer is wanted, and
                                                           "number" of the newest message seen
{"type": "what_if", "id": ASK, "trades": [{"book", "instrument", "quantity", "price"?}, ...]}

Answers: {"id", "acknowledged": {the alert's message}}, {"id", "what_if": see `answer`}, or {"id",
"error": a sentence}. An id is new with every ask, because answers stay a while.

`read` believes nothing: whatever a browser sends is an ask or a ValueError.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.bus import ASK_BYTES_MAX
from compute.holding import Trade
from compute.table import BOOKS_MAX, EXPOSURES, SCENARIOS, VALUE_AT_RISK, Table

if TYPE_CHECKING:
    from compute.exposure import Change

PERSON_LENGTH_MAX = 64
ALERT_LENGTH_MAX = 64  # Three whole numbers.
TRADES_MAX = 200
QUANTITY_MAX = 1e15
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AskError(ValueError):
    """What came is no ask; `name` is who waits for an answer, if that could be read."""

    def __init__(self, text: str, name: str = "") -> None:
        """Keep whom to tell."""
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person has seen an alert as it stood at its message `number` (None: when asked)."""

    name: str
    alert: str
    person: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What would be if these trades were done."""

    name: str
    trades: tuple[Trade, ...]


def read(data: bytes) -> Acknowledge | WhatIf:
    """The ask; AskError says what is wrong with it."""
    if len(data) > ASK_BYTES_MAX:
        raise AskError(f"an ask of {len(data):,} bytes; {ASK_BYTES_MAX:,} is the limit")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise AskError("an ask is a JSON object") from None
    if not isinstance(told, dict):
        raise AskError("an ask is a JSON object")
    name = told.get("id", "")
    if not isinstance(name, str) or (name and not NAME.fullmatch(name)):
        raise AskError("an ask's id is 1 to 64 letters, digits, _ or -")
    kinds: dict[str, Callable[[dict[str, Any], str], Acknowledge | WhatIf]] = {
        "acknowledge": _acknowledge,
        "what_if": _what_if,
    }
    kind = told.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        raise AskError(f"an ask's type is one of {', '.join(kinds)}", name)
    try:
        return kinds[kind](told, name)
    except ValueError as error:
        raise AskError(str(error), name) from None


def person_of(told: Any) -> str:
    """The name of a person as it goes on record; ValueError where nobody is named."""
    name = unicodedata.normalize("NFC", told).strip() if isinstance(told, str) else ""
    # Printable leaves out control characters, and those that turn or hide what follows them.
    if not name or len(name) > PERSON_LENGTH_MAX or not name.isprintable():
        raise ValueError(
            f"an alert is acknowledged by a person: a name of 1 to {PERSON_LENGTH_MAX} "
            "characters without control characters"
        )
    return name


def _acknowledge(told: dict[str, Any], name: str) -> Acknowledge:
    alert, number = told.get("alert"), told.get("number")
    if not isinstance(alert, str) or not 0 < len(alert) <= ALERT_LENGTH_MAX:
        raise ValueError("no alert is named")
    if number is not None and type(number) is not int:
        raise ValueError("the number of an alert's message is a whole number")
    return Acknowledge(name, alert, person_of(told.get("person")), number)


def _what_if(told: dict[str, Any], name: str) -> WhatIf:
    trades = told.get("trades")
    if not name:
        raise ValueError("who asks what would be gives an id, to find the answer by")
    if not isinstance(trades, list) or not 0 < len(trades) <= TRADES_MAX:
        raise ValueError(f"trades are a list of 1 to {TRADES_MAX}")
    return WhatIf(name, tuple(_trade(number, one) for number, one in enumerate(trades, 1)))


def _trade(number: int, told: Any) -> Trade:
    one = told if isinstance(told, dict) else {}
    book, instrument, price = one.get("book"), one.get("instrument"), one.get("price")
    quantity = _finite(one.get("quantity"))
    if type(book) is not int or not 0 <= book < BOOKS_MAX:
        raise ValueError(f"trade {number}: book is 0 to {BOOKS_MAX - 1}")
    if type(instrument) is not int or not 0 <= instrument < 2**32:
        raise ValueError(f"trade {number}: instrument is an instrument's id")
    if not abs(quantity) <= QUANTITY_MAX:  # Also refuses NaN.
        raise ValueError(f"trade {number}: quantity is a number up to {QUANTITY_MAX:g}")
    if price is not None and not abs(_finite(price)) <= QUANTITY_MAX:
        raise ValueError(f"trade {number}: price is a number, or left out for the mark")
    return Trade(book, instrument, quantity, None if price is None else float(price))


def _finite(told: Any) -> float:
    """`told` as a float; NaN where it is no number that a float holds."""
    whole = type(told) is int and abs(told) < 2**63
    return float(told) if whole or type(told) is float else math.nan


def answer(change: "Change") -> dict[str, Any]:
    """What would be, of exposures, value at risk and scenarios, and which limits would move.

    {table: {"columns": [name], "rows": [row], "before": [[cell]], "after": [[cell]]}, "limits":
    [{"limit", "key", "before", "after"}], "unmarked": [id]}. Rows are those of the table of that
    name that would change; cells are numbers, None where not known, as is all before a row that
    would be new.
    """
    tables: tuple[Table, ...] = (EXPOSURES, VALUE_AT_RISK, SCENARIOS)
    return {
        **{
            table.name: {"columns": list(table.names)}
            | _changed(getattr(change.before, table.name), getattr(change.after, table.name))
            for table in tables
        },
        "limits": [
            {
                "limit": limit,
                "key": key,
                "before": before.name.lower(),
                "after": after.name.lower(),
            }
            for limit, key, before, after in change.levels
        ],
        "unmarked": change.unmarked,
    }


def _changed(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    had = np.full_like(after, np.nan)
    had[: len(before)] = before
    same = (had == after) | (np.isnan(had) & np.isnan(after))
    rows = np.flatnonzero(~same.all(axis=1))
    return {"rows": rows.tolist(), "before": _cells(had[rows]), "after": _cells(after[rows])}


def _cells(table: np.ndarray) -> list[list[float | None]]:
    return [[cell if math.isfinite(cell) else None for cell in row] for row in table.tolist()]
