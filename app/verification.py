"""Key: what `./tickglass audit verify, export, prove, check, rebuild` and `rotate-key` do.

Each opens the record (in ClickHouse, or an exported folder), hands it to the rule in compute/ that
knows, shows how far it is, and turns what was found into sentences.
"""

import contextlib
import getpass
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import Any

from app import screen_audit
from app.audit import archive_of
from app.settings import Settings
from compute import (
    anchor,
    evidence,
    keys,
    note,
    outcome,
    proof,
    screen_proof,
    tape_check,
    tape_seal,
)
from compute.archive import Archive
from compute.chain import Fault
from compute.evidence import Database, Evidence, Folder, Place
from compute.keys import KeyFileError, Keys
from compute.progress import Progress
from compute.proof import ProofError
from compute.roots import SEAL, WITNESS
from compute.row import REFUSED
from compute.tape_check import Tally
from compute.tape_row import SCREENS, TAPE
from compute.verify import Verdict, Verifier
from ingest import clock
from ingest.event import NO_PRICE, PRICE_UNIT, Kind
from ingest.instrument import Reference
from ingest.source import TOPIC_INDEX, TOPICS

EXACT = ("price", "bid", "ask")  # Exact prices, 1e-9.
QUOTE_NAMES = {"price": "bid", "size": "bid_size"}  # The union of ingest/event.py.
OTHER_NAMES = {"ask": "reference", "ask_size": "fee"}


class Subject:
    """The record under audit, and what it is held against."""

    def __init__(
        self, database: str, folder: Path, archive: Archive | None, copy: Path | None
    ) -> None:
        """Either in ClickHouse or a copy; `folder` has keys and signed roots."""
        self.database, self.folder, self.archive, self.copy = database, folder, archive, copy

    def open(self) -> Evidence:
        """For one thread."""
        if self.archive is None:
            assert self.copy is not None
            return Folder(self.copy)
        return Database(self.archive)

    def anchors(self) -> anchor.Anchors:
        """Keys and signed roots."""
        return anchor.read(self.folder, self.database, self.archive)


@contextlib.contextmanager
def subject(settings: Settings, copy: Path | None, folder: Path | None = None) -> Iterator[Subject]:
    """The record in ClickHouse, or in a folder that was exported."""
    if copy is not None:
        found = sorted(copy.glob(f"*.{SEAL}.roots"))
        about = Folder(copy).about  # EvidenceError where it is none.
        name = found[0].name.split(".")[0] if found else str(about["from"]).split(" ")[0]
        yield Subject(name, folder or copy, None, copy)
        return
    with archive_of(settings) as archive:
        yield Subject(settings.database, folder or settings.audit_folder, archive, None)


@contextlib.contextmanager
def bar(what: str, total: int, of: str = "rows") -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(of))
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda rows: shown.advance(task, rows)


def verify(
    settings: Settings, copy: Path | None, folder: Path | None, workers: int, *, afresh: bool
) -> tuple[str, dict[str, Any], bool]:
    """The whole record against its chains and roots: text, JSON, and whether all is well."""
    with subject(settings, copy, folder) as under:
        judged = _settled(under)
        first = under.open()
        places, highest, ends = first.places(), _highest(under), None
        if isinstance(first, Database):
            ends = first.ends()  # What is sealed later is for the next run.
        mark = hashlib.sha256(
            f"{first.name} {judged.roots[0].root.hash.hex() if judged.roots else ''}".encode()
        ).hexdigest()
        path = settings.data / "audit" / f"verify-{under.database}.json" if not copy else None
        progress = Progress(path, mark)
        resumed = not afresh and progress.load()
        begun = time.monotonic()
        with bar("verifying", sum(places.values())) as tell:
            tell(sum(head.rows for head in progress.heads.values()))
            since_ns = retained_ns(settings.record_keep_years, clock.now_ns())
            verifier = Verifier(under.open, judged.roots, progress, tell, since_ns, ends)
            verdict = verifier.run(list(places), workers)
        verdict = _loose(verdict, under, highest)
        tape = _tape(under, settings, ends or {}, progress)
        progress.end()
        seconds = time.monotonic() - begun
    text = _said(verdict, judged, tape, seconds, resumed=resumed)
    faults = [*judged.faults, *(_fault(one) for one in verdict.faults), *tape.faults]
    data = {
        "verified": not faults,
        "faults": faults,
        "first": verdict.faults[0]._asdict() if verdict.faults else None,
        "rows": verdict.rows,
        "expired": sum(verdict.expired.values()),
        "tape_slices": tape.slices,
        "blocks": sum(head.blocks for head in verdict.heads.values()),
        "roots": len(judged.roots),
        "countersigned": judged.countersigned,
        "seconds": round(seconds, 3),
    }
    if not copy:
        text += _kept(under, data)
    return f"{text}\n{under.database}: {first.name}", data, not faults


def _kept(under: Subject, data: dict[str, Any]) -> str:
    """Keep what was found beside the roots, for whoever looks at the pages."""
    one = outcome.Outcome(
        clock.now_ns(),
        f"{getpass.getuser()}@{gethostname()}",
        verified=data["verified"],
        rows=data["rows"],
        slices=data["tape_slices"],
        roots=data["roots"],
        seconds=data["seconds"],
        fault=next(iter(data["faults"]), ""),
    )
    try:
        outcome.append(outcome.outcomes_file(under.folder, under.database), one)
    except OSError as error:  # Of somebody who may only read: the verdict is the same.
        return f"\nPages will not say so: {error.filename} cannot be written ({error.strerror})."
    return ""


def retained_ns(years: int, now_ns: int) -> int:
    """The moment before which rows may have been dropped, as ClickHouse counts years; 0: none."""
    if not years:
        return 0
    now = datetime.fromtimestamp(now_ns // 10**9, UTC)
    try:
        then = now.replace(year=now.year - years)
    except ValueError:  # 29 February
        then = now.replace(year=now.year - years, day=28)
    return int(then.timestamp()) * 10**9


def _settled(under: Subject) -> anchor.Judgement:
    """The roots, judged again for a while if something is wrong: a root may be on its way."""
    deadline = time.monotonic() + (evidence.SETTLE_SECONDS if under.archive else 0.0)
    while True:
        judged = anchor.judge(under.anchors())
        if not judged.faults or time.monotonic() >= deadline:
            return judged
        time.sleep(evidence.SETTLE_POLL_SECONDS)


def _highest(under: Subject) -> dict[Place, int]:
    """The last offset of each partition that has rows now, chained or not; a copy has no others."""
    return under.archive.highest_offsets() if under.archive else {}


def _loose(verdict: Verdict, under: Subject, highest: dict[Place, int]) -> Verdict:
    """Rows above the last block become faults, unless a recorder has chained them or soon does.

    Those of a record that is being written are only those that were there when the run began.
    """
    heads = verdict.heads
    left = {place: heads[place].last if place in heads else -1 for place in verdict.loose}
    if under.archive is not None:
        beyond = {place: last for place, last in highest.items() if left.get(place, last) < last}
        left = evidence.unchained(Database(under.archive), beyond, evidence.SETTLE_SECONDS)
    faults = list(verdict.faults)
    for place, last in left.items():
        rows = f"{verdict.loose[place]:,} rows stand behind the last sealed block"
        end = max(highest.get(place, 0), last + 1)
        faults.append(Fault(*place, last + 1, end, f"{rows}: nobody has chained them"))
    return verdict._replace(faults=sorted(faults))


def _tape(under: Subject, settings: Settings, ends: dict[Place, int], progress: Progress) -> Tally:
    """The tape against its statements, which the chains and roots have just borne out.

    A copy holds the statements and not the tape.
    """
    if under.archive is None or not tape_seal.there(under.archive):
        return Tally([], 0, 0, 0)
    now_ns = clock.now_ns()
    kept = {
        TAPE: now_ns - settings.tape_hours * 3_600 * 10**9,
        SCREENS: now_ns - settings.screens_days * 86_400 * 10**9,
    }
    stated = tape_seal.read(under.archive, last=ends.get(tape_seal.PLACE, -1))
    with bar("tape", tape_check.count(under.archive), "slices") as tell:
        tell(sum(one.slices for one in progress.streams.values()))
        try:
            return tape_check.check(under.archive, stated, kept, tell, progress)
        finally:
            progress.save()


def _said(
    verdict: Verdict, judged: anchor.Judgement, tape: Tally, seconds: float, *, resumed: bool
) -> str:
    blocks = sum(head.blocks for head in verdict.heads.values())
    lines = []
    if resumed:
        lines.append("Gone on from a run that was broken off (--afresh begins anew).")
    lines += [f"WRONG  {what}" for what in judged.faults]
    lines += [f"WRONG  {_fault(one)}" for one in verdict.faults]
    lines += [f"WRONG  {what}" for what in tape.faults]
    if judged.roots:
        newest = judged.roots[-1].root
        signed = sum(head.rows for head in newest.heads)
        lines.append(
            f"{len(judged.roots):,} signed roots, {judged.countersigned:,} countersigned by the "
            f"witness, the newest of {moment(newest.ts_ns)}; "
            f"{max(0, verdict.rows - signed):,} rows since"
        )
    else:
        lines.append("No root is signed yet: chains alone cannot tell a tail that was cut off.")
    rate = verdict.rows / seconds if seconds > 0 else 0.0
    lines.append(
        f"{verdict.rows:,} rows in {blocks:,} blocks of {len(verdict.heads):,} partitions read "
        f"again in {seconds:.1f} s ({rate:,.0f} rows/s)"
    )
    if verdict.expired:
        lines.append(
            f"{sum(verdict.expired.values()):,} of them expired by retention: their rows are gone, "
            "their leaves lead to the signed roots"
        )
    if tape.slices:
        lines.append(
            f"{tape.slices:,} slices of the tape read again, {tape.since:,} of them since the "
            f"newest statement of it; {tape.expired:,} streams no longer kept from their beginning"
        )
    faulty = judged.faults or verdict.faults or tape.faults
    lines.append("The record is NOT as it was sealed." if faulty else "Every byte is as sealed.")
    return "\n".join(lines)


def _fault(one: Fault) -> str:
    name = TOPICS[one.topic] if one.topic < len(TOPICS) else f"topic {one.topic}"
    if one.topic == evidence.ALERTS:
        name = "alerts"
    if one.topic == tape_seal.TAPE_TOPIC:
        name = "statements of the tape,"
    return f"{name} partition {one.partition}, offsets {one.first} to {one.last}: {one.what}"


def export(settings: Settings, folder: Path) -> str:
    """Write the record's canonical bytes, blocks, roots and public keys into a new folder."""
    if folder.exists():
        raise RuntimeError(f"{folder} exists already: name another folder.")
    with subject(settings, None) as under:
        assert under.archive is not None
        found = under.open()
        with bar("exporting", sum(found.places().values())) as tell:
            rows = evidence.export(found, folder, tell)
        anchor.export(under.folder, under.database, under.archive, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return (
        f"{rows:,} rows in {size:,} bytes: {folder}\n"
        f"Check it anywhere: ./tickglass audit verify --copy {folder}"
    )


def prove(settings: Settings, name: str, copy: Path | None, file: Path | None) -> str:
    """The proof of TOPIC:PARTITION:OFFSET[:INDEX] or screen:WHO@MOMENT, checked and written.

    Gives what it shows, as text.
    """
    row = None if name.startswith(screen_audit.PREFIX) else place_of(name)
    also = ""
    with subject(settings, copy) as under:
        judged = _settled(under)
        if judged.faults:
            raise ProofError(f"The roots do not hold: {judged.faults[0]}")
        if row is not None:
            made = proof.make(under.open(), judged.roots, row)
        elif under.archive is None:
            raise ProofError("A copy holds no screens: prove it where the record is.")
        else:
            given = under.archive, under.open(), judged.roots
            made, also = screen_audit.make(*given, name, clock.now_ns())
        trusted = _public(under.folder)
    path = file or Path(f"proof-{re.sub(r'[^-.A-Za-z0-9]+', '-', name)}.json")
    path.write_bytes(made)
    shown = "\n".join(filter(None, (_proven(made, trusted, settings), also)))
    return f"{shown}\nWritten to {path}. Check it anywhere: ./tickglass audit check {path}"


def check(settings: Settings, file: Path, trusted: list[str]) -> str:
    """What a proof shows, by the keys that are given or those in the audit folder; offline."""
    try:
        public = [note.read_key(text) for text in trusted] or _public(settings.audit_folder)
    except note.NoteError as error:
        raise ProofError(str(error)) from None
    if not public:
        raise ProofError(
            f"There is no key to check by in {settings.audit_folder}. Name one: --key, as "
            "./tickglass audit keys prints it where the record is."
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ProofError(f"{file} cannot be read: {error.strerror}") from None
    return _proven(data, public, settings)


def _proven(made: bytes, trusted: list[note.Key], settings: Settings) -> str:
    """What a proof of either kind shows."""
    if screen_proof.FORMAT.encode() in made[: 2 * len(screen_proof.FORMAT)]:
        return screen_audit.told(screen_proof.check(made, trusted), _symbols(settings))
    return _shown(proof.check(made, trusted), settings)


def place_of(name: str) -> tuple[int, int, int, int | None]:
    """(topic, partition, offset, index) of TOPIC:PARTITION:OFFSET[:INDEX]."""
    words = name.split(":")
    try:
        topic = TOPIC_INDEX.get(words[0], evidence.ALERTS if words[0] == "alerts" else None)
        numbers = [int(word) for word in words[1:]]
    except ValueError:
        topic, numbers = None, []
    if topic is None or len(numbers) not in (2, 3) or min(numbers) < 0:
        raise ProofError(
            f"{name} names no row: TOPIC:PARTITION:OFFSET[:INDEX], for example {TOPICS[0]}:0:17:3; "
            "or screen:WHO@MOMENT."
        )
    return topic, numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else None


def _shown(proven: proof.Proven, settings: Settings) -> str:
    block, said = proven.block, proven.fields
    symbols = _symbols(settings)
    lines = []
    for row in proven.rows:
        values = proof.named(row)
        if values["kind"] != REFUSED:
            values = _by_kind(values)
        name = f"{TOPICS[values.pop('topic')]}:{values.pop('partition')}:{values.pop('offset')}"
        kind = values.pop("kind")
        known = Kind(kind).name.lower() if kind in set(Kind) else "refused"
        symbol = symbols.get(values.get("instrument", -1), "")
        lines.append(f"{name}:{values.pop('index', 0)} {known} {symbol}".rstrip())
        for field, value in values.items():
            text = (
                moment(value) if field.startswith("ts_") else "unknown" if value is None else value
            )
            lines.append(f"  {field:<12} {text}")
    lines += [
        f"block        offsets {block.first} to {block.last}, {block.rows:,} rows",
        f"SHA-256      {block.digest.hex()}",
        f"root         {said.number} of {said.origin}, {moment(said.ts_ns)}, {said.root.hex()}",
    ]
    for key, second in proven.signers:
        seen = f", looked at {moment(second * 10**9)}" if second else ""
        lines.append(f"signed by    {key.text}{seen}")
    lines.append("Proven: this row stood so in the record when that root was signed.")
    return "\n".join(lines)


def _by_kind(values: dict[str, Any]) -> dict[str, Any]:
    """Fields under the names that they have for this kind of event, prices in units."""
    names = QUOTE_NAMES if values["kind"] == Kind.QUOTE else OTHER_NAMES
    shown = {names.get(name, name): value for name, value in values.items()}
    for name in EXACT:
        if shown.get(name) is not None:
            absent = shown[name] == NO_PRICE
            shown[name] = None if absent else round(shown[name] * PRICE_UNIT, 9)
    return shown


def _symbols(settings: Settings) -> dict[int, str]:
    folders = settings.audit_folder.glob("*.reference/*.json")
    newest = max(folders, key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None:
        return {}
    return {row["id"]: row["symbol"] for row in json.loads(newest.read_bytes())}


def _public(folder: Path) -> list[note.Key]:
    return [entry.key for kind in (SEAL, WITNESS) for entry in keys.read(folder / f"{kind}.keys")]


def key_texts(settings: Settings) -> str:
    """The public keys, one a line, to be handed to whoever will check."""
    lines = [
        f"{entry.key.text}  since {moment(entry.since_ns)}"
        for kind in (SEAL, WITNESS)
        for entry in keys.read(settings.audit_folder / f"{kind}.keys")
    ]
    return "\n".join(lines) or f"There is no key in {settings.audit_folder} yet."


def rotate(settings: Settings, role: str) -> str:
    """Make a new key for a role, signed by the one before."""
    kinds = {SEAL: note.SIGNER, WITNESS: note.WITNESS}
    if role not in kinds:
        raise KeyFileError(f"There is no role {role}: {SEAL} or {WITNESS}.")
    made = Keys(settings.audit_folder, role, kinds[role]).rotate(clock.now_ns())
    return f"{role} signs with a new key from now on; hand it to whoever checks:\n{made.text}"


def rebuild(settings: Settings, copy: Path | None, reference: Path | None) -> tuple[str, bool]:
    """Every partition of market data through a fresh engine; whether all came out the same."""
    from compute import agreement
    from compute import rebuild as rule

    with subject(settings, copy) as under:
        rows = Reference.from_json(_reference(under, reference).read_bytes())
        told = [] if under.archive is None else _told(under.archive, agreement)
        found = under.open()
        counts = found.places()
        places: list[Place] = rule.places(found)
        with (
            bar("rebuilding", sum(counts[place] for place in places)) as tell,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            done = list(
                pool.map(lambda place: rule.rebuild(under.open(), place, rows, told, tell), places)
            )
    same = not any(one.faults for one in done)
    events, minutes = sum(one.events for one in done), sum(one.minutes for one in done)
    verdict = (
        f"{events:,} events through a fresh engine: every number as recorded, "
        f"{minutes:,} digests as told"
        if same
        else "The record's numbers are NOT those of its own events."
    )
    return "\n".join([*map(str, done), verdict]), same


def replay(settings: Settings, reference: Path | None) -> tuple[str, bool]:
    """Kafka's log from its beginning through a fresh engine, against the record."""
    from compute import log_rebuild as rule
    from ingest.source import FILLS, Source

    with subject(settings, None) as under:
        assert under.archive is not None
        rows = Reference.from_json(_reference(under, reference).read_bytes())
        found = Database(under.archive)
        ends = {place: last for place, last in found.ends().items() if place[0] < FILLS}
        counts = found.places()
        log = Source(settings.kafka, "rebuild")
        with bar("replaying", sum(counts[place] for place in ends)) as tell:
            done = rule.replay(log, found, rows, ends, under.archive.refused({}), tell)
        log.close()
    same = not any(one.fault for one in done)
    late = sum(one.first > 0 for one in done)
    verdict = (
        f"{sum(one.events for one in done):,} events of Kafka's log: the digest of every "
        "partition is the record's"
        + (f" ({late:,} by their events alone: Kafka begins later)" if late else "")
        if same
        else "The record is NOT what Kafka's log gives."
    )
    return "\n".join([*map(str, done), verdict]), same


def _told(archive: Archive, agreement: Any) -> list[Any]:
    agreement.prepare(archive)
    return [one for _, one in agreement.table(archive)]


def _reference(under: Subject, given: Path | None) -> Path:
    if given is not None:
        return given
    folder = under.folder / f"{under.database}.reference"
    found = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise RuntimeError(
            f"There are no reference rows in {folder}. Name a file of them: --reference."
        )
    return found[-1]


def moment(ts_ns: int) -> str:
    """For people, to the nanosecond, UTC."""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{ts_ns} ns"
