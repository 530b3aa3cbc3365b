"""Key: opens the doors that the roles `seal` and `witness` need and hands them to their loops."""

import hashlib
from pathlib import Path

from app.process import Loop
from app.settings import Settings
from compute import agreement, anchor, chain, keys, note, outcome, seal, witness
from compute.archive import Archive, ArchiveError
from compute.bus import Bus, BusError
from compute.keys import Keys
from compute.roots import SEAL, WITNESS
from ingest import clock
from ingest.source import DIGESTS_TOPIC, ROOTS_TOPIC, SELDOM, Publisher, Source


def keys_of(settings: Settings, kind: str) -> Keys:
    """The keys of a role."""
    kinds = {SEAL: note.SIGNER, WITNESS: note.WITNESS}
    return Keys(settings.audit_folder, kind, kinds[kind])


def sealer(settings: Settings) -> Loop:
    """ClickHouse's chains -> signed roots."""
    from app.loops import _teller

    return seal.Seal(
        _tower(settings, SEAL),
        keys_of(settings, SEAL),
        reference=ReferenceCopy(settings).hash if settings.redis else None,
        tell=_teller(settings, "seal.0"),
    )


def watcher(settings: Settings) -> Loop:
    """Rows and signed roots -> countersigned roots; digests of live and record -> one word."""
    from app.loops import _teller

    looking = witness.Witness(
        _tower(settings, WITNESS),
        keys_of(settings, WITNESS),
        lambda: keys.read(settings.audit_folder / f"{SEAL}.keys"),
    )
    watch = None
    if settings.kafka:
        source = Source(settings.kafka, "witness", patience=SELDOM, topics=(DIGESTS_TOPIC,))
        watch = agreement.Watch(source, looking.tower.archive, clock.now_ns())
    return Watcher(looking, watch, settings, _teller(settings, "witness.0"))


def _tower(settings: Settings, kind: str) -> seal.Tower:
    archive = Archive(settings.clickhouse, settings.database)
    values = Publisher(settings.kafka, once=True) if settings.kafka else None
    file = anchor.roots_file(settings.audit_folder, settings.database, kind)
    return seal.Tower(kind, archive, file, values, ROOTS_TOPIC)


class Watcher:
    """The witness, and beside it the comparison of digests and what `audit verify` last found."""

    def __init__(
        self,
        looking: witness.Witness,
        watch: agreement.Watch | None,
        settings: Settings,
        tell: witness.Tell | None,
    ) -> None:
        """`watch` is None where there is no Kafka."""
        self.looking, self.watch, self.settings, self._tell = looking, watch, settings, tell
        self._problem = ""
        self._due_ns = 0
        looking.tell = self._report

    def step(self) -> int:
        """One round of each."""
        now_ns = clock.now_ns()
        if self.watch is not None and now_ns >= self._due_ns:
            self._due_ns = now_ns + 1_000_000_000
            try:
                self.watch.step()
                self._problem = ""
            except ArchiveError as error:
                self._problem = str(error)
        return self.looking.step()

    def _report(self, health: dict[str, object]) -> None:
        if self._tell is None:
            return
        path = outcome.outcomes_file(self.settings.audit_folder, self.settings.database)
        health |= outcome.told(outcome.newest(path))
        if self.watch is not None:
            health |= self.watch.agreement.health()
            health["problem"] = health["problem"] or self.watch.agreement.disagreement
        self._tell(health | {"problem": health["problem"] or self._problem})


class ReferenceCopy:
    """The reference rows in use, in files beside the roots: a rebuild needs them."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is read yet."""
        self.bus = Bus(settings.redis)
        self.folder, self.database = settings.audit_folder, settings.database
        self._stamp: bytes | None = None
        self._hash = chain.ORIGIN

    def hash(self) -> bytes:
        """SHA-256 of the rows, which have a file; the last known where Redis is away."""
        try:
            stamp = self.bus.reference_stamp()
            if stamp is None or stamp == self._stamp:
                return self._hash
            rows = self.bus.reference()
        except BusError:
            return self._hash
        if rows:
            self._stamp, self._hash = stamp, hashlib.sha256(rows).digest()
            path = reference_file(self.folder, self.database, self._hash)
            if not path.exists():
                draft = path.with_suffix(".draft")
                draft.unlink(missing_ok=True)
                keys.keep(draft, rows)
                draft.replace(path)
        return self._hash


def reference_file(folder: Path, database: str, hashed: bytes) -> Path:
    """Where the reference rows of that hash are."""
    return folder / f"{database}.reference" / f"{hashed.hex()[:32]}.json"
