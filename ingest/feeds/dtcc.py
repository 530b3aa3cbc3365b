"""Rule: DTCC's public list of swap reports (CFTC, cumulative) -> trades, busts and corrections.

Reports are taken in the order of their event time, which is not that of the file. NEWT is a TRADE
whose reference is its dissemination id. CORR and MODI are a BUST and a TRADE, both CORRECTED, with
the reference of the first report, also when they change a change. EROR and CANCEL are a BUST. TERM
and what is like it end a contract; the trade was made and stands, so it makes no event. A report
that refers to one which is not in the file is an alarm and makes no event: nobody could say what it
voids.

A price is an exchange rate, a fixed rate, or the spread of a credit swap (0.0052 is 52 bp; of an
index quoted in points, points, an instrument of its own). Of an option it is the premium for one
unit of notional, to 1e-9. A size is the notional of leg 1; of currencies that of the one whose
price the rate is, which the two notionals tell (the reported basis is used both ways). A capped one
(`+`) is a lower bound. INELIGIBLE are parts of packages, non-standard terms, what was not agreed as
a trade (novations, exercises), and what was executed more than a day before it was reported.
"""

import csv
import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

from ingest import condition
from ingest.event import PRICE_SCALE, Flag
from ingest.feeds import blocks, drafts
from ingest.feeds.currency import USD_OF
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.lines import exact, parse_moment
from ingest.instrument import AssetClass, Instrument

CLASSES = {"IR": AssetClass.RATES_FUTURE, "CR": AssetClass.CREDIT, "FX": AssetClass.FX}
LATE_NS = 86_400_000_000_000
_ID, _OLD, _ACTION = "Dissemination Identifier", "Original Dissemination Identifier", "Action type"
_NOTIONAL, _SPREAD = "Notional amount-Leg 1", "Spread-Leg 1"
_POINTS, _BASIS_POINTS = "1", "4"  # Notations of a spread; 3 is a decimal.
_ENDS = ("TERM", "PRTO", "PORT")
_UNKNOWN = "refers to a report that is not in the file"


class _Report(NamedTuple):
    """A row that was understood."""

    line: int
    id: int
    old: int  # What it refers to; 0 is nothing.
    action: str
    symbol: str
    row: dict[str, str]
    executed_ns: int
    told_ns: int
    price: int | None
    size: float
    flags: int
    money: str  # The currency of size times price.


class _Trade(NamedTuple):
    """A trade as it stands after the last report on it."""

    instrument: int
    price: int
    size: float
    reference: int
    flags: int


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A day of one asset class. FeedError where the zip is not whole or has no such list."""
    try:
        with ZipFile(path) as archive:
            info = archive.infolist()[0]
    except (BadZipFile, IndexError) as error:
        raise FeedError(f"not a whole zip ({error})", path, "fetch the file again") from None
    place = f"{path}!{info.filename}"
    reports = list(_reports(b"".join(blocks.entry(path, info, tally)), place, tally))
    if not reports:
        raise FeedError("no report in it", path, "give a cumulative list of the repository")
    reports.sort(key=lambda report: report.told_ns)
    rows: dict[str, Instrument] = {}
    for report in reports:
        if report.symbol not in rows:
            rows[report.symbol] = _instrument(report, first_id + len(rows))
    numbers = {symbol: row.id for symbol, row in rows.items()}
    return Feed(list(rows.values()), drafts.chunks(_events(reports, numbers, tally)), tally)


def _reports(data: bytes, place: str, tally: Tally) -> Iterator[_Report]:
    lines = data.decode("utf-8", "replace").splitlines(keepends=True)
    heading = next(csv.reader(lines[:1]), [])
    for line, text in enumerate(lines[1:], 2):
        try:
            fields = next(csv.reader(io.StringIO(text)), [])
            if len(fields) != len(heading):
                raise ValueError("wrong number of fields")  # noqa: TRY301
            yield _report(line - 1, dict(zip(heading, fields, strict=True)))
        except (ValueError, KeyError, ArithmeticError, csv.Error) as error:
            tally.refuse(f"{place} line {line}", str(error), text.encode())


def _report(line: int, row: dict[str, str]) -> _Report:
    executed = parse_moment(row["Execution Timestamp"], "UTC")
    told = parse_moment(row["Event timestamp"], "UTC")
    base, money, size = _money(row)
    points = row.get("Spread notation-Leg 1") == _POINTS
    marks = {
        "package": row["Package indicator"] == "TRUE",
        "nonstandard": row["Non-standardized term indicator"] == "TRUE",
        "novation": row["Event type"] not in ("TRAD", ""),
        "late": told - executed > LATE_NS,
    }
    flags = condition.flags("DTCC", [word for word, holds in marks.items() if holds])
    return _Report(
        *(
            line,
            int(row[_ID]),
            int(row[_OLD] or 0),
            row[_ACTION],
            _symbol(row, base + money, points),
        ),
        row,
        executed,
        told,
        _price(row),
        size,
        flags,
        money,
    )


def _money(row: dict[str, str]) -> tuple[str, str, float]:
    """What is priced (only of currencies), the currency of its price, and how much of it."""
    one, two = (_number(row[f"Notional amount-Leg {leg}"]) for leg in (1, 2))
    first, second = (row[f"Notional currency-Leg {leg}"] for leg in (1, 2))
    rate = _number(row["Exchange rate"])
    if row["Asset Class"] != "FX" or not (one and two and rate):
        return "", first or "USD", float(one)
    if abs(two / one - rate) <= abs(one / two - rate):
        return first, second, float(one)
    return second, first, float(two)


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").rstrip("+") or 0)


def _symbol(row: dict[str, str], pair: str, points: bool) -> str:
    """Product, what lies under it, and when it ends: of a rate the tenor, of others the day."""
    product = row["UPI FISN"].removeprefix("NA/")
    if row["Asset Class"] == "FX":
        return f"{product} {pair} {row['Expiration Date']}"
    if row["Asset Class"] == "CR":
        unit = " points" if points else ""
        return f"{product} {row['UPI Underlier Name']} {row['Expiration Date']}{unit}"
    end, start = (date.fromisoformat(row[key]) for key in ("Expiration Date", "Effective Date"))
    months = round((end - start).days / 30.4375)
    tenor = f"{months // 12}Y" if months % 12 == 0 and months else f"{months}M"
    return f"{product} {row['UPI Underlier Name']} {tenor}"


def _price(row: dict[str, str]) -> int | None:
    """Exact price; None where the report has none."""
    premium = row["Option Premium Amount"].replace(",", "")
    if "/O " in row["UPI FISN"]:
        notional = Decimal(row[_NOTIONAL].replace(",", "").rstrip("+") or 0)
        if not premium or not notional:
            return None
        return round(Decimal(premium) / notional * PRICE_SCALE)
    if row["Asset Class"] == "FX":
        text = row["Exchange rate"]
    elif row["Asset Class"] == "CR":
        text = row[_SPREAD]  # A fixed rate is only the coupon of all swaps on that index.
        if text and row["Spread notation-Leg 1"] == _BASIS_POINTS:
            return round(Decimal(text) / 10_000 * PRICE_SCALE)
    else:
        text = row["Fixed rate-Leg 1"] or row["Fixed rate-Leg 2"]
    text = text.replace(",", "")
    if not text:
        return None
    value = Decimal(text)
    return exact(text) if -value.as_tuple().exponent <= 9 else round(value * PRICE_SCALE)  # type: ignore[operator]


def _instrument(report: _Report, number: int) -> Instrument:
    row = report.row
    kind = CLASSES.get(row["Asset Class"], AssetClass.RATES_FUTURE)
    # A price in points is a percentage of the notional.
    multiplier = 0.01 if report.symbol.endswith(" points") else 1.0
    currency = report.money
    return Instrument(
        *(number, report.symbol, kind, "DTCC", currency, multiplier, 1e-6, 6),
        usd_rate=USD_OF.get(currency, 1.0),
        expiry=row["Expiration Date"] if kind != AssetClass.RATES_FUTURE else "",
    )


def _events(reports: list[_Report], numbers: dict[str, int], tally: Tally) -> Iterator[bytes]:
    standing: dict[int, _Trade | None] = {}  # By the id of every report on it; None: unknown.
    for report in reports:
        tally.rows += 1
        if report.row[_NOTIONAL].endswith("+"):
            tally.alarms["a capped notional: its size is a lower bound"] += 1
        if report.old:
            yield from _changes(report, numbers, standing, tally)
        elif report.price is None:
            tally.skipped["no price was made public"] += 1
            standing[report.id] = None
        else:
            envelope = report.executed_ns, report.told_ns, report.line, numbers[report.symbol]
            new = _Trade(envelope[3], report.price, report.size, report.id, report.flags)
            standing[report.id] = new
            yield drafts.trade(envelope, new.price, new.size, new.reference, new.flags)


def _changes(
    report: _Report,
    numbers: dict[str, int],
    standing: dict[int, _Trade | None],
    tally: Tally,
) -> Iterator[bytes]:
    if report.old not in standing:
        tally.alarms[_UNKNOWN] += 1
        tally.skipped[_UNKNOWN] += 1
        standing[report.id] = None
        return
    old = standing[report.old]
    if old is None:
        tally.skipped["changes a report that made no event"] += 1
        standing[report.id] = None
        return
    if report.action in _ENDS:
        tally.skipped["ends a contract: its trade was made and stands"] += 1
        standing[report.id] = old
        return
    voids = report.action in ("EROR", "CANC", "CANCEL")
    marked = 0 if voids else int(Flag.CORRECTED)
    envelope = report.told_ns, report.told_ns, report.line, old.instrument
    flags = (old.flags & Flag.INELIGIBLE) | marked
    yield drafts.bust(envelope, old.price, old.size, old.reference, flags)
    new = None
    if not voids and report.price is not None:
        number = numbers[report.symbol]
        new = _Trade(number, report.price, report.size, old.reference, report.flags)
        changed = (*envelope[:3], number)
        yield drafts.trade(changed, new.price, new.size, new.reference, new.flags | marked)
    standing[report.old] = standing[report.id] = new
