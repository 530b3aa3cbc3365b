"""Whatever is done to a record on a real engine, the verifier finds it; what may happen, passes."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compute import anchor, chain, evidence, note, roots
from compute.archive import Archive
from compute.evidence import Database, Folder
from compute.keys import Keys
from compute.progress import Progress
from compute.roots import SEAL, WITNESS, RootFile, Signed
from compute.row import SCHEMA
from compute.seal import Tower
from compute.verify import Verifier
from ingest.source import ALERTS
from tests.clickhouse import ClickHouse
from tests.evidence import PLACES, Case

PLACE = (0, 1)


def test_alerts_are_topic_13() -> None:
    assert evidence.ALERTS == ALERTS


def test_an_untouched_record_passes(case: Case) -> None:
    assert case.faults() == []
    judged = case.judge()
    assert (len(judged.roots), judged.countersigned) == (3, 3)
    verdict = case.verify()
    assert verdict.finished
    assert verdict.rows == sum(len(case.rows(place)) for place in PLACES) + case.next[ALERTS, 0]


def flip(case: Case) -> None:
    rows = case.rows(PLACE)
    raw = rows.view(np.uint8)
    body = 13 + random.Random(1).randrange(128)
    raw[len(raw) // 2 // 141 * 141 + body] ^= 1 << 3
    case.replace(PLACE, rows)


def update(case: Case) -> None:
    case.change("events", "UPDATE price = price + 1 WHERE topic = 7 AND offset = 2 AND index = 0")


def delete_row(case: Case) -> None:
    case.replace(PLACE, np.delete(case.rows(PLACE), 5))


def swap(case: Case) -> None:
    rows = case.rows(PLACE)
    names = [name for name in rows.dtype.names or () if name not in ("offset", "index")]
    for name in names:
        rows[name][[2, 7]] = rows[name][[7, 2]]
    case.replace(PLACE, rows)


def cut_rows(case: Case) -> None:
    case.change("events", "DELETE WHERE topic = 0 AND partition = 1 AND offset > 3")


def cut_tail(case: Case) -> None:
    cut_rows(case)
    case.change("blocks", "DELETE WHERE topic = 0 AND partition = 1 AND last > 3")


def whole_partition(case: Case) -> None:
    for table in ("events", "blocks"):
        case.change(table, "DELETE WHERE topic = 0 AND partition = 1")


def double_block(case: Case) -> None:
    name = case.archive.database
    case.archive.command(
        f"INSERT INTO {name}.blocks SELECT * FROM {name}.blocks WHERE topic = 7 LIMIT 1"
    )


def double_rows(case: Case) -> None:
    case.insert(case.rows(PLACE)[3:6])


def beyond(case: Case) -> None:
    rows = case.rows(PLACE)[-2:]
    rows["offset"] += 10
    case.insert(rows)


def elsewhere(case: Case) -> None:
    rows = case.rows(PLACE)[:2]
    rows["partition"] = 5
    case.insert(rows)


def alert_value(case: Case) -> None:
    case.change("alerts", "UPDATE value = 1.5 WHERE offset = 1")


def alert_message(case: Case) -> None:
    case.change("alerts", "UPDATE message = 'x' WHERE offset = 1")


def alert_gone(case: Case) -> None:
    case.change("alerts", "DELETE WHERE offset = 1")


def roll_table_back(case: Case) -> None:
    case.change("roots", "DELETE WHERE number = 2")


def roll_file_back(case: Case) -> None:
    path = case.tower(SEAL).file.path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def roll_all_but_the_witness_back(case: Case) -> None:
    roll_file_back(case)
    roll_table_back(case)


def edit_root(case: Case) -> None:
    path = case.tower(SEAL).file.path
    path.write_text(path.read_text().replace(f"schema {SCHEMA}", "schema 99", 1))


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (flip, "its bytes are not"),
        (update, "its bytes are not"),
        (delete_row, "its bytes are not"),
        (swap, "its bytes are not"),
        (cut_rows, "its bytes are not"),
        (cut_tail, "the end is cut off"),
        (whole_partition, "the end is cut off"),
        (double_block, "which the block before it holds"),
        (double_rows, "its bytes are not"),
        (beyond, "rows in no block"),
        (elsewhere, "rows in no block"),
        (alert_value, "its bytes are not"),
        (alert_message, "its bytes are not"),
        (alert_gone, "where 1 follows"),
        (roll_table_back, "the table has no root 2"),
        (roll_file_back, "the file ends before root 2, which the table has"),
        (roll_all_but_the_witness_back, "the file ends before root 2, which the witness has"),
        (edit_root, "root 0 is not signed"),
    ],
)
def test_a_forgery_is_found(case: Case, forge: Callable[[Case], None], said: str) -> None:
    forge(case)
    assert any(said in what for what in case.faults()), case.faults()


def test_the_first_wrong_block_is_named(case: Case) -> None:
    swap(case)
    fault = case.verify().faults[0]
    offsets = sorted(case.rows(PLACE)["offset"][[2, 7]].tolist())
    assert fault[:2] == PLACE
    assert fault.first <= offsets[0] <= fault.last


def rewritten(case: Case) -> None:
    """One price changed, and every block after it sealed anew: the chain itself is whole."""
    rows = case.rows(PLACE)
    rows["price"][4] += 1
    blocks = list(case.archive.blocks(*PLACE))
    case.replace(PLACE, rows)
    case.change("blocks", f"DELETE WHERE topic = {PLACE[0]} AND partition = {PLACE[1]}")
    link = chain.ORIGIN
    for block in blocks:
        inside = (rows["offset"] >= block.first) & (rows["offset"] <= block.last)
        made = case.sealed(PLACE, rows[inside], link)
        link = made.sealed.link
        case.archive.insert([made._replace(rows=())])


def resigned(case: Case) -> list[Signed]:
    """The roots that should have been, signed with the key that signed those that were."""
    heads, trail = None, {}
    for block in case.archive.blocks(*PLACE):
        heads = chain.grown(heads, block)
        trail[heads.last] = heads
    made: list[Signed] = []
    with Keys(case.folder, SEAL).held(case.clock()) as secret:
        for old in case.tower(SEAL).file.read():
            changed = tuple(trail[h.last] if h[:2] == PLACE else h for h in old.root.heads)
            previous = made[-1].root.hash if made else chain.ORIGIN
            root = old.root._replace(heads=changed, previous=previous)
            made.append(Signed(root, note.join(root.text, secret.sign(root.text))))
    return made


def test_a_history_written_anew_is_found(case: Case) -> None:
    rewritten(case)
    assert any("another history" in what for what in case.faults())


@pytest.mark.parametrize("file_too", [False, True])
def test_a_history_written_and_signed_anew_with_the_old_key_is_found(
    case: Case, file_too: bool
) -> None:
    rewritten(case)
    made = resigned(case)
    case.change("roots", "DELETE WHERE kind = 'seal'")
    for one in made:
        roots.insert(case.archive, SEAL, one)
    if file_too:
        file = case.tower(SEAL).file
        file.path.unlink()
        for one in made:
            file.append(one)
    said = "of the witness is another" if file_too else "of the table is another"
    assert any(said in what for what in case.faults()), case.faults()


def test_a_key_that_was_replaced_signs_nothing_later(case: Case) -> None:
    with Keys(case.folder, SEAL).held(case.clock()) as old:
        pass
    case.clock.advance(1)
    Keys(case.folder, SEAL).rotate(case.clock())
    case.write()
    case.root()
    assert case.faults() == []
    last = case.tower(SEAL).file.last()
    assert last is not None
    text = last.root.text
    forged = Signed(last.root, note.join(text, old.sign(text)))
    given = anchor.read(case.folder, case.archive.database, case.archive)
    found = anchor.judge(given._replace(kept=[*given.kept[:-1], forged]))
    assert any("not signed by the key that held" in what for what in found.faults)


# What may happen to a record


def test_merges_change_nothing(case: Case) -> None:
    for table in ("events", "blocks", "alerts", "roots"):
        case.archive.command(f"OPTIMIZE TABLE {case.archive.database}.{table} FINAL")
    assert case.faults() == []


def test_parts_that_move_to_another_volume_change_nothing(case: Case) -> None:
    # What a TTL move does: the part is detached here and attached from there, as it is.
    name = case.archive.database
    case.change(
        "events", "MODIFY TTL toDateTime(ts_recv) + INTERVAL 1 SECOND RECOMPRESS CODEC(ZSTD(3))"
    )
    case.archive.command(f"OPTIMIZE TABLE {name}.events FINAL")
    case.archive.command(f"ALTER TABLE {name}.events DETACH PARTITION tuple()")
    case.archive.command(f"ALTER TABLE {name}.events ATTACH PARTITION tuple()")
    assert case.faults() == []


def test_a_backup_restored_on_another_server_passes(case: Case, tmp_path: Path) -> None:
    name = case.archive.database
    tables = ("events", "blocks", "alerts", "roots")
    backup = {
        table: case.archive.raw(f"SELECT * FROM {name}.{table} ORDER BY rand()", "Native")
        for table in tables
    }
    other = ClickHouse(tmp_path / "other").start()
    try:
        case.archive = Archive(other.address, name)
        case.archive.prepare()
        roots.prepare(case.archive)
        for table, body in backup.items():
            found = case.archive.rows(
                "SELECT name FROM system.columns WHERE database = {name:String} "
                "AND table = {table:String} ORDER BY position",
                {"name": name, "table": table},
            )
            columns = [str(row[0]) for row in found]
            case.archive.send(table, columns, bytearray(body), f"restored-{table}", "Native")
        assert case.faults() == []
        assert case.verify().rows
    finally:
        case.archive.close()
        other.kill()


def test_an_exported_copy_needs_no_database(case: Case, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    total = evidence.export(Database(case.archive), copy)
    anchor.export(case.folder, case.archive.database, case.archive, copy)
    case.archive.command(f"DROP DATABASE {case.archive.database}")
    given = anchor.read(copy, case.archive.database, None)
    judged = anchor.judge(given)
    assert judged.faults == []
    found = Folder(copy)
    verdict = Verifier(lambda: Folder(copy), judged.roots).run(list(found.places()))
    assert verdict.faults == []
    assert verdict.rows == total
    assert not list(copy.glob("*.key"))
    rows = copy / "00-00001.rows"
    data = bytearray(rows.read_bytes())
    data[-5] ^= 1
    rows.write_bytes(data)
    verdict = Verifier(lambda: Folder(copy), judged.roots).run(list(found.places()))
    assert [fault[:2] for fault in verdict.faults] == [PLACE]


def test_a_run_that_was_broken_off_goes_on(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    looked: list[int] = []
    signed = case.judge().roots
    first = Verifier(lambda: Database(case.archive), signed, Progress(path, "a"), looked.append)
    first.tell = lambda rows: (looked.append(rows), first.stop.set())[0]
    assert not first.run(PLACES, 1).finished
    again = Progress(path, "a")
    assert again.load()
    rest: list[int] = []
    verdict = Verifier(lambda: Database(case.archive), signed, again, rest.append).run(PLACES, 1)
    assert verdict.finished
    assert verdict.faults == []
    assert 0 < sum(rest) < verdict.rows == sum(looked) + sum(rest)
    assert not Progress(path, "another").load()
    assert Progress(path, "a").load(), "the tape is looked at after the chains"
    again.end()
    assert not path.exists()


# Who seals and who witnesses


def test_nothing_new_makes_no_root(case: Case) -> None:
    case.root()
    case.clock.advance(2)
    assert case.seal.step() == 0
    assert not case.seal.problem


def test_after_a_kill_both_go_on_where_they_were(case: Case) -> None:
    case.seal, case.witness = case.sealer(), case.watcher()
    case.root()
    assert not case.witness.fault
    assert case.faults() == []
    assert case.judge().countersigned == 4


def test_a_kill_between_file_and_table_is_made_good(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Tower, "publish", lambda *_: None)
        case.root(witnessed=False)
    assert any("the table has no root 3" in what for what in case.faults())
    case.seal, case.witness = case.sealer(), case.watcher()
    case.write()
    case.root()
    assert case.faults() == []


def test_a_torn_line_of_the_file_is_passed_over(case: Case) -> None:
    file = case.tower(SEAL).file
    data = file.path.read_bytes()
    file.path.write_bytes(data[:-40])
    kept = [one.root.number for one in RootFile(file.path).read()]
    assert kept == [0, 1]
    file.append(roots.read_line(data.splitlines()[2]))
    assert [one.root.number for one in file.read()] == [0, 1, 2]


def test_what_is_signed_and_rewritten_is_not_signed_again(case: Case) -> None:
    rewritten(case)
    case.write()
    case.clock.advance(2)
    assert case.seal.step() == 0
    assert "does not follow" in case.seal.problem


def test_the_witness_does_not_sign_what_the_rows_do_not_bear_out(case: Case) -> None:
    case.root()
    case.write()
    rows = case.rows(PLACE)
    rows["price"][-1] += 1
    case.replace(PLACE, rows)
    case.root(witnessed=False)  # Who seals does not look at rows.
    case.watch()
    assert "its bytes are not" in case.witness.fault
    assert case.judge().countersigned == 4
    assert case.witness.health()["state"] == "fault"


def test_the_witness_lags_but_never_skips(case: Case) -> None:
    for _ in range(3):
        case.write()
        case.root(witnessed=False)
    case.witness.step()
    assert case.witness.health()["roots_waiting"] == 3
    assert case.witness.health()["behind_s"] > 0
    case.watch()
    assert case.witness.health()["roots_waiting"] == 0
    assert case.judge().countersigned == 6


def test_the_private_key_is_its_owners_alone(case: Case) -> None:
    for kind in (SEAL, WITNESS):
        mode = (case.folder / f"{kind}.key").stat().st_mode
        assert mode & 0o777 == 0o600
    shutil.rmtree(case.folder)
