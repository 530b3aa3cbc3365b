"""Rule: what a user's screen showed at a moment, as text or as plain lists; and where to look.

Reads the tape and nothing else, so that it answers long after the page is gone.
"""

import json
from typing import Any

from app.moment import show
from compute.archive import Archive
from compute.asof import Past
from compute.screen import NotOnRecordError, Shown, pages, recall, rows_of
from compute.tape_row import PageRow
from ingest.instrument import Reference

ROWS_SHOWN_MAX = 200  # Of one table, as text.


def screens(archive: Archive, ts: int, user: str, session: str) -> list[tuple[PageRow, Shown]]:
    """Each page of that user, or with that name, that showed something at `ts`.

    NotOnRecordError says why there is none.
    """
    found: list[tuple[PageRow, Shown]] = []
    why = f"no page of {user or session!r} had been opened by {show(ts)} UTC"
    for page in pages(archive, ts, user, session):
        try:
            found.append((page, recall(archive, page, ts)))
        except NotOnRecordError as error:
            why = str(error)
    if not found:
        raise NotOnRecordError(why)
    return found


def symbols(archive: Archive, ts: int) -> dict[int, str]:
    """Names of the instruments as they were then."""
    data = Past(archive).note("reference", ts)
    rows = Reference.from_json(data).by_id if data else {}
    return {number: row.symbol for number, row in rows.items()}


def plain(page: PageRow, shown: Shown, names: dict[int, str]) -> dict[str, Any]:
    """One screen as JSON takes it: every cell, what the page had asked for, how it is known."""
    return {
        "session": page.session,
        "user": page.user,
        "desk": page.desk,
        "sent": show(shown.sent_ns),
        "painted": show(shown.painted_ns),
        "next_painted": show(shown.next_painted_ns) if shown.next_painted_ns else None,
        "sequence": shown.screen.sequence,
        "latency_ms": shown.latency_ms,
        "wishes": shown.wishes,
        "tables": rows_of(shown, names.items()),
    }


def print_screen(one: dict[str, Any]) -> None:
    """One screen as tables on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"[bold]{one['desk']}[/] of {one['user'] or 'a user without a name'}, {one['session']}: "
        f"painted {one['painted']} UTC from a push of {one['sent']}"
        + (f", until {one['next_painted']}" if one["next_painted"] else "")
    )
    for wish in one["wishes"]:
        console.print("  asked:", json.dumps(wish), style="dim", highlight=False)
    for table in one["tables"]:
        columns = list(table["rows"][0]["cells"])
        made = Table("row", *columns, title=f"{table['table']}, {table['total']} rows in all")
        for row in table["rows"][:ROWS_SHOWN_MAX]:
            cells = ["" if v is None else f"{v:.10g}" for v in row["cells"].values()]
            made.add_row(str(row.get("symbol", row["row"])), *cells)
        console.print(made)
