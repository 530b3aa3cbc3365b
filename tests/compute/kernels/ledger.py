"""A position in exact fractions, by the definitions: what the kernels are held against."""

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Exact:
    """Every fill that stands, as (size, price); cost is derived anew each time it is asked."""

    fills: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    fees: Fraction = Fraction(0)
    income: Fraction = Fraction(0)
    start: Fraction = Fraction(0)  # Held as the day began.
    close: Fraction | None = None
    day: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    day_paid: Fraction = Fraction(0)

    @property
    def quantity(self) -> Fraction:
        return sum((size for size, _ in self.fills), Fraction(0))

    @property
    def flow(self) -> Fraction:
        """-sum dq p."""
        return -sum((size * price for size, price in self.fills), Fraction(0))

    def average(self) -> tuple[Fraction | None, Fraction]:
        """(average cost of what is open, realised against it)."""
        held, cost, realised = Fraction(0), Fraction(0), Fraction(0)
        for size, price in self.fills:
            if held * size >= 0:
                cost += size * price
                held += size
                continue
            closed = min(abs(held), abs(size)) * (1 if held > 0 else -1)
            realised += (price - cost / held) * closed
            cost -= cost / held * closed
            held -= closed
            rest = size + closed
            held += rest
            cost += rest * price
        return (cost / held if held else None), realised

    def fifo(self) -> tuple[Fraction | None, Fraction]:
        """(mean cost of the open lots, realised oldest first)."""
        lots: list[list[Fraction]] = []
        realised = Fraction(0)
        for size, price in self.fills:
            left = size
            while left and lots and lots[0][0] * left < 0:
                closed = min(abs(left), abs(lots[0][0])) * (1 if lots[0][0] > 0 else -1)
                realised += (price - lots[0][1]) * closed
                lots[0][0] -= closed
                left += closed
                if not lots[0][0]:
                    lots.pop(0)
            if left:
                lots.append([left, price])
        held = sum((size for size, _ in lots), Fraction(0))
        mean = sum((size * price for size, price in lots), Fraction(0)) / held if held else None
        return mean, realised

    def fill(self, size: Fraction, price: Fraction, fee: Fraction) -> None:
        self.fills.append((size, price))
        self.day.append((size, price))
        self.fees += fee
        self.day_paid -= fee

    def void(self, index: int, fee: Fraction) -> None:
        size, price = self.fills.pop(index)
        self.day.append((-size, price))
        self.fees -= fee
        self.day_paid += fee

    def pay(self, amount: Fraction) -> None:
        self.income += amount
        self.day_paid += amount

    def split(self, ratio: Fraction) -> None:
        self.fills = [(size * ratio, price / ratio) for size, price in self.fills]
        self.day = [(size * ratio, price / ratio) for size, price in self.day]
        self.start *= ratio
        self.close = None if self.close is None else self.close / ratio

    def turn(self, mark: Fraction) -> None:
        """A new day begins."""
        self.start, self.close, self.day, self.day_paid = self.quantity, mark, [], Fraction(0)

    def total(self, mark: Fraction) -> Fraction:
        """The P&L in prices that no method of cost can change, per unit of multiplier."""
        return self.flow + self.quantity * mark

    def overnight(self, mark: Fraction) -> Fraction:
        return (
            self.start * (mark - self.close)
            if self.start and self.close is not None
            else Fraction(0)
        )

    def intraday(self, mark: Fraction) -> Fraction:
        return sum((size * (mark - price) for size, price in self.day), Fraction(0))
