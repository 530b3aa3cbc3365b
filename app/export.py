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
from compute import snapshot
from compute.archive import Archive, ArchiveError
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


def _told(archive: Archive, order: Order, path: Path, count: int) -> str:
    """Who took what of the record is on record too, where it can be written to."""
    detail = json.dumps({"file": str(path.resolve()), "rows": count, "order": repr(order)})
    row = {"ts": clock.now_ns(), "person": getpass.getuser(), "page": f"host {gethostname()}"}
    row |= {"action": "export", "subject": order.table, "detail": detail}
    try:
        for statement in snapshot.ddl(archive.database):
            archive.command(statement)
        snapshot.tell(archive, "actions", [row])
    except ArchiveError as error:  # A reader's account: the file is there all the same.
        return f"\nWho exported is not on record: {error}"
    return ""


def export(settings: Settings, order: Order, path: Path) -> str:
    """Write the file; what was done, in words."""
    with archive_of(settings) as archive:
        made = Export(archive, order, clock.now_ns())
        with _bar(made.rows) as tell:
            count = made.write(path, tell)
        unsaid = _told(archive, order, path, count)
    return (
        f"{count:,} rows of {order.table} in {path} ({path.stat().st_size:,} bytes), "
        f"from {settings.database} at {made.reference['address']}{unsaid}"
    )
