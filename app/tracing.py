"""Rule: the way of a frame as a table on the terminal, or as JSON."""

import json

from app.audit import archive_of
from app.moment import show
from app.settings import Settings
from app.verification import place_of
from compute.screen import NotOnRecordError
from compute.trace import Traced, trace


def way(settings: Settings, name: str, *, as_json: bool) -> str:
    """What is to be printed of TOPIC:PARTITION:OFFSET[:INDEX]; RuntimeError with a sentence."""
    *place, index = place_of(name)
    topic, partition, offset = place
    with archive_of(settings) as archive:
        try:
            found = trace(archive, (topic, partition, offset), index)
        except NotOnRecordError as error:
            raise RuntimeError(f"Not on record: {error}.") from None
    return json.dumps(_plain(found)) if as_json else _text(found)


def _plain(found: Traced) -> dict[str, object]:
    made = found.stages[0].ts
    stages = [
        {"stage": one.stage, "ts_ns": one.ts, "after_ms": (one.ts - made) / 1e6, "of": one.detail}
        for one in found.stages
    ]
    return found._asdict() | {"stages": stages}


def _text(found: Traced) -> str:
    made = found.stages[0].ts
    lines = [
        f"{found.name}, a {found.kind} of instrument {found.instrument}, one of {found.events}"
    ]
    for one in found.stages:
        after = f"{(one.ts - made) / 1e6:+12,.3f} ms"
        lines.append(f"  {show(one.ts)}  {after}  {one.stage:<9} {one.detail}")
    if not any(one.stage == "painted" for one in found.stages):
        lines.append("  No page whose screen is on the tape showed this row then.")
    return "\n".join(lines)
