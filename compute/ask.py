"""Shape: what people ask of `risk`, and what it answers. JSON both ways.

{"type": "acknowledge", "alert": ID, "person": NAME}       with "id" if an answer is wanted, and
                                                           "number" of the newest message seen
{"type": "what_if", "id": ASK, "trades": [{"book", "instrument", "quantity", "price"?}, ...]}
{"type": "refused", "id": ASK, "kept"?: "0:17"}            the newest values that were refused, or
                                                           one with its first bytes
{"type": "replay", "id": ASK, "kept": "0:17", "person": NAME}   publish it again

Answers: {"id", "acknowledged": {the alert's message}}, {"id", "what_if": see `answer`}, {"id",
"refused": see compute/quarantine.py}, {"id", "replayed": where it stands now}, or {"id", "error":
a sentence} with "trade" where one of the trades is wrong, from 0. An id is new with every
ask, because answers stay a while.

`read` believes nothing: whatever a browser sends is an ask or a ValueError.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compute.bus import ASK_BYTES_MAX
from compute.holding import Trade
from compute.table import BOOKS_MAX, EXPOSURES, SCENARIOS, VALUE_AT_RISK, Table
from compute.what_if import Change, TradeError

PERSON_LENGTH_MAX = 64
ALERT_LENGTH_MAX = 64  # Three whole numbers.
TRADES_MAX = 200
QUANTITY_MAX = 1e15
# Of a group, before and after: columns of EXPOSURES, then of VALUE_AT_RISK.
MEASURES = ("gross", "net", "delta", "beta", "gamma", "vega", "theta", "dv01", "cs01", "day_pnl")
LOSSES = ("hist_99", "es_975")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEPT = re.compile(r"[0-9]{1,9}:[0-9]{1,18}", re.ASCII)


class AskError(ValueError):
    """What came is no ask; `name` is who waits for an answer, if that could be read.

    `trade`: which of the trades is wrong, from 0; None where that is not what is wrong.
    """

    def __init__(self, text: str, name: str = "", trade: int | None = None) -> None:
        """Keep whom to tell."""
        super().__init__(text)
        self.name, self.trade = name, trade


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


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused: one of that name, or "" for the newest of all."""

    name: str
    kept: str


@dataclass(frozen=True, slots=True)
class Replay:
    """A person lets a refused value be published again."""

    name: str
    kept: str
    person: str


Ask = Acknowledge | WhatIf | Refused | Replay


def read(data: bytes) -> Ask:
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
    kinds: dict[str, Callable[[dict[str, Any], str], Ask]] = {
        "acknowledge": _acknowledge,
        "what_if": _what_if,
        "refused": _refused,
        "replay": _replay,
    }
    kind = told.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        raise AskError(f"an ask's type is one of {', '.join(kinds)}", name)
    try:
        return kinds[kind](told, name)
    except ValueError as error:
        raise AskError(str(error), name, getattr(error, "trade", None)) from None


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
    return WhatIf(name, tuple(_trade(number, one) for number, one in enumerate(trades)))


def _refused(told: dict[str, Any], name: str) -> Refused:
    return Refused(name, _kept(told) if told.get("kept") else "")


def _replay(told: dict[str, Any], name: str) -> Replay:
    try:
        person = person_of(told.get("person"))
    except ValueError:
        raise ValueError("a replay is in the name of a person") from None
    return Replay(name, _kept(told), person)


def _kept(told: dict[str, Any]) -> str:
    kept = told.get("kept")
    if not isinstance(kept, str) or not KEPT.fullmatch(kept):
        raise ValueError("what was refused is named PARTITION:OFFSET")
    return kept


def _trade(number: int, told: Any) -> Trade:
    """One trade; TradeError says what is wrong with it."""
    one = told if isinstance(told, dict) else {}
    book, instrument, price = one.get("book"), one.get("instrument"), one.get("price")
    quantity = _finite(one.get("quantity"))
    if type(book) is not int or not 0 <= book < BOOKS_MAX:
        raise TradeError(number, f"book is 0 to {BOOKS_MAX - 1}")
    if type(instrument) is not int or not 0 <= instrument < 2**32:
        raise TradeError(number, "instrument is an instrument's id")
    if not abs(quantity) <= QUANTITY_MAX:  # Also refuses NaN.
        raise TradeError(number, f"quantity is a number up to {QUANTITY_MAX:g}")
    if price is not None and not abs(_finite(price)) <= QUANTITY_MAX:
        raise TradeError(number, "price is a number, or left out for the mark")
    return Trade(book, instrument, quantity, None if price is None else float(price))


def _finite(told: Any) -> float:
    """`told` as a float; NaN where it is no number that a float holds."""
    whole = type(told) is int and abs(told) < 2**63
    return float(told) if whole or type(told) is float else math.nan


def answer(change: Change, groups: Sequence[int] = ()) -> dict[str, Any]:
    """What would be, of exposures, value at risk and scenarios, and which limits would move.

    {"groups": [{"scope", "key", "measures": {name: [before, after]}}], table: {"columns": [name],
    "rows": [row], "before": [[cell]], "after": [[cell]]}, "limits": [{"limit", "name", "measure",
    "scope", "key", "before", "after", "value": [before, after], "warning", "breach"}], "unmarked":
    [id]}. `groups` are rows of EXPOSURES, told in USD and whole; rows are those of the
    table of that name that would change; cells are numbers, None where not known, as is all before
    a row that would be new.
    """
    tables: tuple[Table, ...] = (EXPOSURES, VALUE_AT_RISK, SCENARIOS)
    return {
        "groups": [_group(change, row) for row in groups],
        **{
            table.name: {"columns": list(table.names)}
            | _changed(getattr(change.before, table.name), getattr(change.after, table.name))
            for table in tables
        },
        "limits": [
            {
                **{name: getattr(one.watched.limit, name) for name in ("name", "measure", "scope")},
                "limit": one.watched.limit.id,
                "key": one.watched.key,
                "before": one.before.name.lower(),
                "after": one.after.name.lower(),
                "value": [_cell(one.value_before), _cell(one.value_after)],
                "warning": one.watched.limit.warning,
                "breach": one.watched.limit.breach,
            }
            for one in change.limits
        ],
        "unmarked": change.unmarked,
    }


def _group(change: Change, row: int) -> dict[str, Any]:
    """What a group is before and after: MEASURES of exposures, losses of value at risk."""
    pair = change.before, change.after
    scope, key = (int(cell) for cell in change.after.exposures[row, :2])
    told = {
        name: [_cell(each.exposures[row, EXPOSURES.index(name)]) for each in pair]
        for name in MEASURES
    }
    for name in LOSSES:
        told[name] = [_loss(each.value_at_risk, scope, key, name) for each in pair]
    told["worst"] = [_worst(each.scenarios, scope, key) for each in pair]
    return {"scope": scope, "key": key, "measures": told}


def _loss(table: np.ndarray | None, scope: int, key: int, name: str) -> float | None:
    for line in () if table is None else table[(table[:, 0] == scope) & (table[:, 1] == key)]:
        return _cell(line[VALUE_AT_RISK.index(name)])
    return None


def _worst(table: np.ndarray | None, scope: int, key: int) -> float | None:
    """The worst cell of the group's grid; unknown where one of its cells is."""
    if table is None:
        return None
    mine = table[(table[:, 0] == scope) & (table[:, 1] == key), SCENARIOS.index("pnl_usd")]
    return _cell(mine.min()) if len(mine) else None


def _changed(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    had = np.full_like(after, np.nan)
    had[: len(before)] = before
    same = (had == after) | (np.isnan(had) & np.isnan(after))
    rows = np.flatnonzero(~same.all(axis=1))
    return {"rows": rows.tolist(), "before": _cells(had[rows]), "after": _cells(after[rows])}


def _cells(table: np.ndarray) -> list[list[float | None]]:
    return [[_cell(cell) for cell in row] for row in table.tolist()]


def _cell(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
