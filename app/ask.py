"""Rule: what a page asks of `risk`, checked for its shape and built anew; nothing else goes on.

Whether the alert is open, the instrument known or the trade possible is for `risk` to say
(compute/ask.py, which a web process does not load: it carries numba). Here nonsense, excess and
other people's names are kept away from it.
"""

import math
from collections.abc import Mapping
from typing import Any

from compute.table import BOOKS_MAX

KINDS = ("acknowledge", "what_if", "refused", "replay")
TRADES_MAX = 200
TEXT_MAX = 64  # Letters of a person's name, of an alert's, and of the page's own id of a question.
QUANTITY_MAX = 1e15


def ask(message: Mapping[str, Any], user: str, name: str) -> dict[str, Any]:
    """The message for `risk`; ValueError, TypeError or KeyError says what is wrong with it.

    `user`: whom the server knows behind the page; "" where it knows nobody, and then an
    acknowledgement is in the name that the page gives. `name`: by which the answer is found.
    """
    kind = message["type"]
    if kind == "what_if":
        trades = message["trades"]
        if not isinstance(trades, list) or not 0 < len(trades) <= TRADES_MAX:
            raise ValueError(f"what_if takes a list of 1 to {TRADES_MAX} trades")
        return {"type": kind, "id": name, "trades": [_trade(trade) for trade in trades]}
    if kind == "refused":
        kept = message.get("kept")
        return {"type": kind, "id": name, **({"kept": text_of(kept, "kept")} if kept else {})}
    if kind == "replay":
        person = user or text_of(message.get("person"), "person")
        kept = text_of(message["kept"], "kept")
        return {"type": kind, "id": name, "kept": kept, "person": person}
    if kind != "acknowledge":
        raise ValueError(f"a page asks for one of {KINDS}, not {kind!r:.40}")
    out = {"type": kind, "id": name, "alert": text_of(message["alert"], "alert")}
    out["person"] = user or text_of(message.get("person"), "person")
    if message.get("number") is not None:
        out["number"] = _integer(message["number"], "number")
    return out


def text_of(value: Any, name: str) -> str:
    """A short printable text, without the blanks around it; else ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= TEXT_MAX or not text.isprintable():
        raise ValueError(f"{name} is a text of 1 to {TEXT_MAX} letters, not {value!r:.40}")
    return text


def _trade(trade: Any) -> dict[str, Any]:
    if not isinstance(trade, dict):
        raise TypeError(f"a trade is an object, not {trade!r:.40}")
    out = {
        "book": _integer(trade["book"], "book"),
        "instrument": _integer(trade["instrument"], "instrument"),
        "quantity": _number(trade["quantity"], "quantity"),
    }
    if out["book"] >= BOOKS_MAX:
        raise ValueError(f"there is no book {out['book']}")
    if trade.get("price") is not None:
        out["price"] = _number(trade["price"], "price")
    return out


def _integer(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{name} is a whole number from 0, not {value!r:.40}")
    return value


def _number(value: Any, name: str) -> float:
    known = type(value) is float or (type(value) is int and abs(value) <= QUANTITY_MAX)
    if not known or not math.isfinite(value) or abs(value) > QUANTITY_MAX:
        raise ValueError(f"{name} is a number of at most {QUANTITY_MAX:g}, not {value!r:.40}")
    return float(value)
