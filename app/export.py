"""Key: the command `./tickglass export`: a table or view of the record as a file."""

import contextlib
import getpass
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

from app.audit import archive_of
from app.settings import Settings
from compute import acts
from compute.bus import Bus, BusError
from compute.export import Export, Order
from ingest import clock


def moment_ns(text: str | None) -> int | None:
    """A moment as people write it, in UTC unless it says otherwise; RuntimeError if it is none."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RuntimeError(f"{text!r} is not a moment such as 2026-11-20T14:03:02.113") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp()) * 10**9 + found.microsecond * 1000


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    from rich import progress
    from rich.console import Console

    columns = (
        *(progress.TextColumn("exporting"), progress.BarColumn()),
        *(progress.MofNCompleteColumn(), progress.TextColumn("rows")),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("exporting", total=total)
        yield lambda rows: shown.advance(task, rows)


def _told(settings: Settings, order: Order, path: Path, count: int) -> str:
    """Who took what of the record is on record too, by the tape, which alone writes acts."""
    detail = json.dumps({"file": str(path.resolve()), "rows": count, "order": repr(order)})
    if not settings.redis:
        return "\nWho exported is not on record: no Redis is named by which the tape hears of it"
    try:
        person, page = getpass.getuser(), f"host {gethostname()}"
        acts.tell(Bus(settings.redis), person, page, "export", order.table, detail)
    except BusError as error:  # The file is there all the same.
        return f"\nWho exported is not on record: {error}"
    return ""


def export(settings: Settings, order: Order, path: Path) -> str:
    """Write the file; what was done, in words."""
    with archive_of(settings) as archive:
        made = Export(archive, order, clock.now_ns())
        with _bar(made.rows) as tell:
            count = made.write(path, tell)
        unsaid = _told(settings, order, path, count)
    return (
        f"{count:,} rows of {order.table} in {path} ({path.stat().st_size:,} bytes), "
        f"from {settings.database} at {made.reference['address']}{unsaid}"
    )
