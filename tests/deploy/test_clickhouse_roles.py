"""The users of ClickHouse that deploy/users makes, under the engine's own access control.

A whole server is in none of the package registries that tests install from, so what is here is
that server's engine: each role's statements are taken out of the shipped file, word by word, into
the file of users that the engine reads at its start, and the session has that role's rights alone.
CREATE USER and CREATE ROLE are parsed, and refused for want of a store; passwords are not asked.
"""

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import ROOT
from compute import account, acts, agreement
from compute.archive import Archive, ArchiveError
from compute.asof import Past
from compute.derived import Derived
from compute.digest import Minute
from compute.schema import Keep
from compute.tape import Tape
from ingest.clock import VirtualClock
from tests.clickhouse import ClickHouse
from tests.compute.test_asof import Clock, World
from tests.compute.test_record import Log, market, recorder, run
from tests.compute.test_tape_check import batch
from tests.evidence import Case

ROLES = ("record", "tape", "audit", "web")
GRANT_TO = re.compile(r"(GRANT .+) TO (\w+)$")
USER = re.compile(
    r"CREATE USER IF NOT EXISTS (\w+) IDENTIFIED WITH sha256_hash BY '([0-9a-f]{64})'$"
)
# What every user may read where `select_from_system_db_requires_grant` is on, as a server has it.
OPEN_TO_ALL = {"tables", "columns"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The statements that deploy/users writes, one each."""
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([ROOT / "deploy" / "users", folder], capture_output=True, check=True)
    lines = (folder / "users.sql").read_text().splitlines()
    text = " ".join(line for line in lines if not line.startswith("--"))
    return [one.strip() for one in text.split(";") if one.strip()]


class Server:
    """The engine on one folder of data, as one user of the shipped file after the other."""

    def __init__(self, folder: Path, statements: list[str]) -> None:
        self.folder, self.statements = folder, statements
        self.server = ClickHouse(folder / "data", folder)
        self.server.folder.mkdir()
        users = f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>"
        (folder / "config.xml").write_text(users)

    def as_user(self, user: str) -> Archive:
        """Start anew; everything that is asked from here on is asked by that user."""
        (self.folder / "users.xml").write_bytes(users_file(self.statements, user))
        return Archive(self.server.start().address)


def users_file(statements: list[str], user: str) -> bytes:
    """The engine's file of users: the shipped ones; a session without a name has `user`'s roles."""
    top = ET.fromstring(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas></clickhouse>"
    )
    roles, users = ET.SubElement(top, "roles"), ET.SubElement(top, "users")
    session = added(users, "default", password="", access_management="1" if not user else "0")
    for statement in statements:
        if found := re.fullmatch(r"CREATE ROLE IF NOT EXISTS (\w+)", statement):
            ET.SubElement(roles, found[1])
        elif found := USER.match(statement):
            added(users, found[1], password_sha256_hex=found[2])
        elif found := GRANT_TO.match(statement):
            what, whom = found.groups()
            for one in (roles.find(whom), users.find(whom), session if whom == user else None):
                if one is not None:
                    grants = one.find("grants")
                    grants = ET.SubElement(one, "grants") if grants is None else grants
                    ET.SubElement(grants, "query").text = what
        else:
            assert re.fullmatch(r"CREATE DATABASE IF NOT EXISTS \w+", statement), statement
    return ET.tostring(top)


def added(users: ET.Element, name: str, **more: str) -> ET.Element:
    one = ET.SubElement(users, name)
    for key, value in (more | {"profile": "default", "quota": "default"}).items():
        ET.SubElement(one, key).text = value
    ET.SubElement(ET.SubElement(one, "networks"), "ip").text = "::/0"
    return one


def denied(archive: Archive, statement: str) -> None:
    with pytest.raises(ArchiveError, match="ACCESS_DENIED"):
        archive.command(statement)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, shipped: list[str]) -> Iterator[Server]:
    """A record, its tape, its roots, each made by the user whose it is, from nothing."""
    folder = tmp_path_factory.mktemp("roles")
    server = Server(folder, shipped)
    archive = server.as_user("tickglass_record")
    archive.prepare(Keep(years=7))
    log = Log(market(1, 120))
    made = recorder(log, archive, folder / "kept", VirtualClock(), derived=Derived(archive))
    run(made, log)
    made.close()
    case = Case(archive, folder / "audit")  # Alerts, as the recorder of partition 0 writes them.
    archive.close()

    archive = server.as_user("tickglass_tape")
    world, clock = World(1), Clock()
    world.shared = True
    world.tables[0]["books"][:] = 1.0
    tape = Tape(world, archive, (36, 7), monotonic=clock)
    for step in range(6):
        world.change(0)
        world.batches.append(batch(step))
        clock.s += 2.0
        tape.step()
    tape.close()
    assert not tape.problem
    archive.close()

    archive = server.as_user("tickglass_audit")
    case.archive = archive
    case.seal, case.witness = case.sealer(), case.watcher()
    case.root()
    assert case.witness.last is not None, case.witness.problem
    agreement.prepare(archive)
    agreement.insert(archive, "live", [Minute(0, 0, 1, 0, 9, 10, 11)])
    archive.close()
    yield server
    server.server.kill()


def test_the_engine_takes_every_statement(shipped: list[str], tmp_path: Path) -> None:
    """It parses them and looks at rights and names; what it has no store for it says last."""
    server = Server(tmp_path, shipped)
    archive = server.as_user("")
    for statement in shipped:
        if statement.startswith("CREATE DATABASE"):
            archive.command(statement)
            continue
        with pytest.raises(ArchiveError, match=r"no writeable access storage|is readonly"):
            archive.command(
                statement.replace("IF NOT EXISTS ", "", 1).replace("tickglass_", "our_")
                if statement.startswith("CREATE")
                else statement
            )
    for role in ROLES:
        granted = [one for (one,) in archive.rows(f"SHOW GRANTS FOR tickglass_may_{role}")]
        assert granted
        assert [one for (one,) in archive.rows(f"SHOW GRANTS FOR tickglass_{role}")] == [
            f"GRANT tickglass_may_{role} TO tickglass_{role}"
        ]
    archive.close()
    server.server.kill()


def test_each_role_does_what_it_must(filled: Server) -> None:
    """`filled` wrote with three of them; what they wrote is whole, and the pages' user reads it."""
    archive = filled.as_user("tickglass_web")
    assert {one.holes + one.doubles + one.torn for one in account.count(archive)} == {0}
    assert Past(archive).span()
    assert [one["action"] for one in acts.newest(archive, "ann", "", 50)] == ["export"] * 6
    for table in ("bars", "bars_1m", "voids", "corrections", "books", "positions", "alerts"):
        archive.rows(f"SELECT count() FROM tickglass.{table}")
    assert archive.rows("SELECT count() FROM tickglass.bars")[0][0]
    assert archive.rows("SELECT count() FROM tickglass.roots")[0][0] == 2
    assert archive.rows("SELECT count() FROM tickglass.digests")[0][0] == 1
    archive.close()


@pytest.mark.parametrize("role", ROLES)
def test_no_role_changes_a_row_that_stands(filled: Server, role: str) -> None:
    archive = filled.as_user(f"tickglass_{role}")
    tables = {
        "record": ("events", "blocks", "alerts", "writers", "bars", "books"),
        "tape": ("tape", "screens", "pages", "acts", "tape_seals", "books"),
        "audit": ("roots", "digests"),
        "web": (),
    }
    own = set(tables.pop(role))
    others = {names[0] for names in tables.values() if names}  # One of each other role.
    for table in sorted(own | others):
        name = f"tickglass.{table}"
        column = archive.rows(
            "SELECT name FROM system.columns WHERE database = 'tickglass' AND table = {t:String}",
            {"t": table},
        )[0][0]
        denied(archive, f"ALTER TABLE {name} DELETE WHERE 1")
        denied(archive, f"DELETE FROM {name} WHERE 1")
        denied(archive, f"ALTER TABLE {name} UPDATE {column} = {column} WHERE 1")
        denied(archive, f"ALTER TABLE {name} DROP COLUMN {column}")
        denied(archive, f"ALTER TABLE {name} DROP PARTITION tuple()")
        denied(archive, f"ALTER TABLE {name} MODIFY COMMENT 'x'")
        denied(archive, f"TRUNCATE TABLE {name}")
        denied(archive, f"DROP TABLE {name}")
        denied(archive, f"DETACH TABLE {name}")
        denied(archive, f"RENAME TABLE {name} TO {name}_2")
        denied(archive, f"OPTIMIZE TABLE {name} FINAL")
        if table not in own:
            denied(archive, f"INSERT INTO {name} SELECT * FROM {name}")
            denied(archive, f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS writer")
            denied(archive, f"ALTER TABLE {name} MODIFY SETTING merge_with_ttl_timeout = 1")
    for statement in (
        "CREATE DATABASE elsewhere",
        "CREATE USER other IDENTIFIED WITH no_password",
        f"GRANT SELECT ON *.* TO tickglass_{role}",
        "CREATE FUNCTION f AS (x) -> x",
        "SYSTEM STOP MERGES tickglass.events",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
    ):
        denied(archive, statement)
    if role == "web":
        denied(archive, "CREATE TABLE tickglass.own (x Int8) ENGINE = Memory")
        denied(archive, "CREATE VIEW tickglass.own AS SELECT 1")
    archive.close()


def test_what_the_product_asks_the_system_is_granted(shipped: list[str]) -> None:
    """A server as it is delivered lets nobody read its own tables but few."""
    asked: dict[str, set[str]] = {}
    for room in ("compute", "app"):
        for path in (ROOT / room).glob("*.py"):
            if path.name != "chdb_http.py":  # The stand-in asks itself.
                for name in re.findall(r"FROM system\.(\w+)", path.read_text()):
                    asked.setdefault(name, set()).add(path.name)
    granted = {one for text in shipped for one in re.findall(r"ON system\.(\w+) ", text)}
    assert asked.pop("merges") == {"archive.py"}  # `merging`, which benches alone ask.
    assert asked.keys() - OPEN_TO_ALL == granted
