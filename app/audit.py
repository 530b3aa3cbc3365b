"""Key: what the record says of itself, in text and figures, for `./tickglass audit`."""

import contextlib
from collections.abc import Iterator
from typing import Any

from app import standins
from app.settings import Settings
from compute import account, chain
from compute.acts import newest
from compute.alert_row import AlertRow, canonical
from compute.archive import Archive
from compute.incident import Incident, Incidents, describe


@contextlib.contextmanager
def archive_of(settings: Settings) -> Iterator[Archive]:
    """The record; in ClickHouse's stand-in on the data folder where no address is known."""
    with contextlib.ExitStack() as stack:
        url = settings.clickhouse
        if not url:
            if not (settings.data / "clickhouse").is_dir():
                raise RuntimeError(
                    f"There is no record under {settings.data}. Give --data or --clickhouse, or "
                    "make one: ./tickglass up."
                )
            folder = ("--data", str(settings.data))
            url = stack.enter_context(standins.started(settings, "clickhouse", *folder))
        archive = Archive(url, settings.database)
        stack.callback(archive.close)
        yield archive


def count(settings: Settings) -> tuple[str, bool]:
    """The record's account by partition, and whether it is whole."""
    with archive_of(settings) as archive:
        counts = account.count(archive)
    whole = all(count.holes == count.doubles == count.torn == 0 for count in counts)
    return f"{account.describe(counts)}\n{settings.database} at {archive.address}", whole


def alerts(settings: Settings) -> tuple[str, dict[str, Any], bool]:
    """Every alert on record, newest first, as text and as JSON; whether its record is whole."""
    with archive_of(settings) as archive:
        rows = archive.alert_rows()
    told = [alert for row in rows if (alert := row.alert) is not None]
    incidents = Incidents(closed_max=None)
    for alert in told:
        incidents.take(alert)
    found = sorted(
        (*incidents.open, *incidents.closed), key=lambda one: one.first.ts_alert, reverse=True
    )
    faults = _faults(rows)
    summary = (
        f"{len(found):,} alerts in {len(rows):,} messages, {len(incidents.open):,} open; "
        f"{len(rows) - len(told):,} messages are no alert"
    )
    verdict = faults or ["every offset is there, none twice, every message as it was sealed"]
    lines = [describe(found), summary, *verdict] if rows else ["no alert is on record yet"]
    data = {"alerts": [_told(one) for one in found], "messages": len(rows), "faults": faults}
    return "\n".join([*lines, f"{settings.database} at {archive.address}"]), data, not faults


def acts(
    settings: Settings, person: str, action: str, last: int
) -> tuple[str, list[dict[str, str]]]:
    """Who did what, from where, when: the newest last, as text and as JSON."""
    with archive_of(settings) as archive:
        told = newest(archive, person, action, last)
    lines = [
        f"{one['ts'][:23]}  {one['person'] or '-':<16} {one['from'] or one['page']:<16} "
        f"{one['action']:<16} {one['subject']}  {one['detail'] if one['detail'] != '{}' else ''}"
        for one in told
    ]
    end = f"{len(told):,} acts of {settings.database}; ./tickglass audit verify reads their chain"
    return "\n".join([*(line.rstrip() for line in lines), end]), told


def _told(incident: Incident) -> dict[str, Any]:
    seen = [{"person": a.person, "ts": a.ts, "level": a.level} for a in incident.acknowledged]
    first, newest = incident.first, incident.newest
    moments = {"ts_event": first.ts_event, "ts_alert": first.ts_alert, "ts_newest": newest.ts_alert}
    return {**incident.shown(), **moments, "acknowledgements": seen}


def _faults(rows: list[AlertRow]) -> list[str]:
    """The first hole, double or changed message of each partition, in words."""
    found = []
    for place in sorted({row[:2] for row in rows}):
        mine = [row for row in rows if row[:2] == place]
        if mine[0].offset:
            found.append(f"partition {place[1]}: begins at offset {mine[0].offset}")
        bytes_at = {row.sealed: canonical(row.ts_log, row.message) for row in mine}
        fault = chain.verify((row.sealed for row in mine), bytes_at.__getitem__)
        if fault:
            found.append(f"partition {place[1]} offset {fault.first}: {fault.what}")
    return found
