"""How a file is: its size, its words, what it says of itself, and what it may not touch."""

import ast
import re
import subprocess

import pytest

from tests.house.house import BENCHES, FILES, ROOT, name, tree

FUNCTION_LINES_MAX = 70  # A screen.
FILE_LINES_MAX = 600
BROAD_EXCEPTS = {  # A broad except is the one policy line of a loop, or of the command line.
    "app/process.py": 1,
    "app/chdb_http.py": 1,
    "app/__main__.py": 1,
    "app/blocks/problem.py": 1,  # A layout is somebody's code: what it raises is told on its desk,
    "app/check.py": 1,  # or by the check.
    "compute/warm.py": 1,  # What goes wrong in its thread is raised where the result is asked for.
}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "core", "base"}
BANNED = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b")
# Built so that this file does not hold what it looks for.
REGISTRIES = re.compile(
    "|".join(
        ("py" + "pi", "python" + "hosted", "npm" + "js", "maven" + r"\.org", "crates" + r"\.io")
    )
    + r"|pro"
    + r"xy\.golang|deb\.debian"
    + r"\.org"
)
SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|ghp_\w{36}|\bsk-[A-Za-z0-9]{32,}"
)
TEXT = {".py", ".js", ".css", ".md", ".toml", ".txt", ".xml", ".yaml", ".properties", ".sh", ""}


def committed():
    """Files that are, or are about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def functions(path):
    return [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def calls(path):
    """(line, dotted name) of everything of the form a.b.c that is mentioned."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            found.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("path", [*FILES, *BENCHES], ids=name)
def test_a_function_fits_on_a_screen_and_a_file_in_a_head(path):
    long = [
        f"{name(path)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long, f"over {FUNCTION_LINES_MAX}: let the leaves do the work: {long}"
    lines = len(path.read_text().splitlines())
    assert lines <= FILE_LINES_MAX, f"{name(path)} has {lines} lines: it holds two things"


@pytest.mark.parametrize("path", [*FILES, *BENCHES], ids=name)
def test_a_file_says_what_it_is_for(path):
    assert ast.get_docstring(tree(path)), f"{name(path)} does not say what it is for"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_named_for_what_it_holds(path):
    words = set(path.stem.split("_")) | {part for part in path.parent.parts if part in NO_NAMES}
    assert not words & NO_NAMES, f"{name(path)}: a name that fits anything says nothing"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_environment_is_read_in_one_place(path):
    if name(path) == "app/settings.py":
        return
    users = [
        line
        for line, text in calls(path)
        if text in ("os.environ", "os.getenv", "os.environb", "os.putenv")
    ]
    assert not users, f"{name(path)}:{users} reads the environment: make it a setting"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_wall_time_is_read_in_one_place(path):
    if name(path) == "ingest/clock.py":
        return
    wall = re.compile(r"^(time\.time|time\.time_ns)$|(datetime|date)\.(now|utcnow|today)$")
    users = [f"{name(path)}:{line} {text}" for line, text in calls(path) if wall.search(text)]
    assert not users, f"ask ingest.clock.now_ns, or take a clock as an argument: {users}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_broad_excepts_are_policy(path):
    broad = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    assert len(broad) <= BROAD_EXCEPTS.get(name(path), 0), (
        f"{name(path)}:{broad}: name the errors that the world makes; ours end the process"
    )


def test_words_that_do_not_land():
    wrong = []
    for path in committed():
        if (
            path.suffix not in TEXT
            or path.name == "LICENSE"
            or path == ROOT / "tests/house/test_files.py"
        ):
            continue
        text = path.read_text(errors="replace")
        for pattern in (BANNED, REGISTRIES, SECRETS):
            wrong += [f"{name(path)}: {found[0]}" for found in pattern.finditer(text)]
    assert not wrong, wrong


def test_nothing_big_and_nothing_recorded_is_committed():
    big = [
        f"{name(path)} {path.stat().st_size:,}"
        for path in committed()
        if path.stat().st_size > 1_000_000
    ]
    assert not big, f"recorded data stays beside the repository: {big}"


def test_pinned_requirements_are_hashed_and_name_no_address():
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text()
        packages = re.findall(r"^[\w.-]+==\S+", text, re.MULTILINE)
        assert packages
        assert "://" not in text
        blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in block for block in blocks)
