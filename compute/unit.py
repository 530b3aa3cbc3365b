"""Rule: units of columns, and what may be done with them.

A unit is a product of named quantities with whole powers: `price`, `USD per bp`, `USD x days`.
What has none (a delta, a ratio) is a plain number. Two units may be added or compared only where
they are the same; factors and quotients make new ones. Names of things, bits and codes are no
quantities: nothing may be reckoned with them.
"""

from dataclasses import dataclass

PLAIN = ("", "1", "per 1", "ratio")
# The same ratio on other scales: a constant factor leads from one to the other, a sum never does.
RATIOS = (*PLAIN, "%", "bp", "% of NAV", "% of gross")
NOTHING = ("id", "bits", "code", "its own", "0 1 2 3")
# What lines may be summed over whatever they are of. Sizes may not: shares and ounces.
SUMMABLE = ("USD", "trades", "events", "lines", "fills", "0 or 1")


class UnitError(ValueError):
    """Two units do not fit; the text says which, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Quantities by name with their powers, in the order of the names."""

    powers: tuple[tuple[str, int], ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is a plain number."""
        return not self.powers

    @property
    def ratio(self) -> bool:
        """Whether it is a plain number on any scale."""
        return self.plain or (len(self.powers) == 1 and str(self) in RATIOS)

    @property
    def summable(self) -> bool:
        """Whether a sum over lines means something."""
        above = [name for name, power in self.powers if power > 0]
        return len(above) == 1 and above[0] in SUMMABLE

    def __str__(self) -> str:
        """As people write it; `parse` reads it."""
        above = [_power(name, power) for name, power in self.powers if power > 0]
        below = [_power(name, -power) for name, power in self.powers if power < 0]
        head = " x ".join(above)
        return f"{head} per {' per '.join(below)}".strip() if below else head or "1"

    def __mul__(self, other: "Unit") -> "Unit":
        """The unit of a product."""
        powers = dict(self.powers)
        for name, power in other.powers:
            powers[name] = powers.get(name, 0) + power
        return _unit(powers)

    def __truediv__(self, other: "Unit") -> "Unit":
        """The unit of a quotient."""
        return self * other.raised(-1)

    def raised(self, power: int) -> "Unit":
        """The unit of a power."""
        return _unit({name: each * power for name, each in self.powers})

    def root(self) -> "Unit":
        """The unit of a square root; UnitError where there is none."""
        if any(power % 2 for _, power in self.powers):
            raise UnitError(f"there is no square root of {self}")
        return Unit(tuple((name, power // 2) for name, power in self.powers))


def parse(text: str) -> Unit | None:
    """The unit that a column's text says; None where the column holds no quantity."""
    if text in NOTHING:
        return None
    if text in PLAIN:
        return Unit()
    powers: dict[str, int] = {}
    above, *below = (part.strip() for part in f" {text} ".split(" per "))
    for part, sign in ((above, 1), *((part, -1) for part in below)):
        for factor in part.split(" x "):
            name, _, power = factor.strip().partition("^")
            if name not in PLAIN:
                powers[name] = powers.get(name, 0) + sign * int(power or 1)
    return _unit(powers)


def _unit(powers: dict[str, int]) -> Unit:
    return Unit(tuple(sorted((name, power) for name, power in powers.items() if power)))


def _power(name: str, power: int) -> str:
    return name if power == 1 else f"{name}^{power}"
