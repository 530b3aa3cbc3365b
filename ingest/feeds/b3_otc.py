"""Rule: B3's list of OTC trades (NegociosBalcao) -> trades of debentures, times of Sao Paulo.

Semicolons between fields, decimal commas, two heading lines, the newest trade first: the events are
put in order of time. A size is a number of securities, a price BRL of one.
"""

from collections.abc import Iterator
from pathlib import Path

from ingest.feeds import blocks, drafts
from ingest.feeds.currency import usd_rate
from ingest.feeds.feed import Feed, FeedError, Tally, by_time, midnight_ns, step
from ingest.feeds.lines import exact, parse_moment, whole_lines
from ingest.instrument import AssetClass, Instrument

FIELDS = 13
_CODE, _SIZE, _PRICE, _CLOCK, _DAY, _ID = 2, 3, 4, 8, 9, 10
HEADINGS = 2


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A day's list."""
    prices: dict[str, list[int]] = {}
    for _, fields in _rows(path, Tally()):
        prices.setdefault(fields[_CODE], []).append(exact(fields[_PRICE]))
    if not prices:
        raise FeedError("no line is a trade", path, "give a list NegociosBalcao of the exchange")
    rate = usd_rate("BRL", path)
    rows = [
        Instrument(
            *(first_id + i, code, AssetClass.CREDIT, "B3 OTC", "BRL", 1.0, *step(own)),
            usd_rate=rate,
        )
        for i, (code, own) in enumerate(prices.items())
    ]
    numbers = {row.symbol: row.id for row in rows}
    return Feed(rows, by_time(drafts.chunks(_events(path, numbers, tally))), tally)


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each trade, decimal points for commas."""
    number = 0
    for text in whole_lines(blocks.text(path, tally), str(path), tally):
        for line in text.splitlines():
            number += 1
            if number <= HEADINGS or not line.strip():
                continue
            fields = line.decode("latin-1").replace(",", ".").split(";")
            try:
                if len(fields) != FIELDS:
                    raise ValueError("wrong number of fields")  # noqa: TRY301
                exact(fields[_PRICE])
                exact(fields[_SIZE])
                _time(fields)
                int(fields[_ID].lstrip("#"))
            except ValueError as error:
                tally.refuse(f"{path} line {number}", str(error), line)
                continue
            yield number, fields


def _time(fields: list[str]) -> int:
    day, month, year = fields[_DAY].split("/")
    date = f"{year}-{month}-{day}"
    clock = parse_moment(f"1970-01-01 {fields[_CLOCK]}", "UTC")
    return midnight_ns(date, "America/Sao_Paulo") + clock


def _events(path: Path, numbers: dict[str, int], tally: Tally) -> Iterator[bytes]:
    for number, fields in _rows(path, tally):
        tally.rows += 1
        time = _time(fields)
        envelope = time, time, number - HEADINGS, numbers[fields[_CODE]]
        price, size = exact(fields[_PRICE]), float(fields[_SIZE])
        yield drafts.trade(envelope, price, size, int(fields[_ID].lstrip("#")))
