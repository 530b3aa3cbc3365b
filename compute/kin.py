"""Rule: what a symbol is one of: the product of a future, the coin of a pair."""

import re


def commodity(symbol: str) -> str:
    """The product of a future's symbol: CLZ6 -> CL, CLZ6-CLF7 -> CL."""
    found = re.match(r"(\w+?)[FGHJKMNQUVXZ]\d", symbol)
    return found[1] if found else symbol


def coin(symbol: str) -> str:
    """The coin of a pair or perpetual: BTC-USD, BTC-PERP.OKX -> BTC."""
    return re.split(r"[-/_]", symbol)[0]
