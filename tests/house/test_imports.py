"""Data flows ingest -> compute -> app -> layouts; imports point the other way, through doors."""

import sys

import pytest

from tests.house.house import BENCHES, FILES, ROOMS, ROOT, imports, name

DOORS = {  # Each outside system is imported by one file, which knows all its moods.
    "confluent_kafka": ["app/standins.py", "ingest/source.py"],
    "redis": ["compute/bus.py"],
    "clickhouse_connect": ["compute/archive.py"],
    "chdb": ["app/chdb_http.py"],
    "cryptography": ["compute/note.py", "app/certificate.py"],
}
PAGE = ("panel", "bokeh", "holoviews", "param")
PAGE_ROOMS = ("app/blocks/", "app/portal.py", "app/runtime.py")
KERNELS = {"numpy", "numba", "math", "compute"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_upstream(path):
    below = ROOMS[ROOMS.index(name(path).split("/")[0]) + 1 :]
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for line, module in imports(path)
        if module.split(".")[0] in (*below, "bench", "tests")
    ]
    assert not wrong, f"data flows {' -> '.join(ROOMS)}: move it down, or hand it in: {wrong}"


@pytest.mark.parametrize(("module", "doors"), DOORS.items())
def test_each_outside_system_has_one_door(module, doors):
    users = [
        name(path)
        for path in [*FILES, *BENCHES]
        if any(found.split(".")[0] == module for _, found in imports(path))
    ]
    assert set(users) <= set(doors), f"{module} is spoken to through {doors} alone"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_panel_and_bokeh_stay_with_the_blocks(path):
    if name(path).startswith(PAGE_ROOMS):
        return
    users = [f"{name(path)}:{line}" for line, m in imports(path) if m.split(".")[0] in PAGE]
    assert not users, f"Panel and Bokeh live in {PAGE_ROOMS}: {users}"


@pytest.mark.parametrize("path", sorted((ROOT / "compute/kernels").glob("*.py")), ids=name)
def test_a_kernel_knows_arrays_and_scalars(path):
    wrong = [m for _, m in imports(path) if m.split(".")[0] not in KERNELS]
    wrong += [m for _, m in imports(path) if m.startswith("compute.") and ".kernels" not in m]
    assert not wrong, f"{name(path)} imports {wrong}: kernels take what they need as arguments"


@pytest.mark.parametrize("path", sorted((ROOT / "layouts").glob("*.py")), ids=name)
def test_a_layout_is_made_of_blocks(path):
    own = [m for _, m in imports(path) if m.split(".")[0] in ROOMS]
    assert own, f"{name(path)} places no block"
    wrong = [m for m in own if not m.startswith("app.blocks")]
    assert not wrong, f"{name(path)} imports {wrong}: if a desk needs it, a block is missing"


def test_layouts_are_scripts_not_a_package():
    # `panel serve` puts their folder first on sys.path, where a package would shadow others.
    assert not (ROOT / "layouts" / "__init__.py").exists()
    names = {path.stem for path in (ROOT / "layouts").glob("*.py")}
    assert not names & (sys.stdlib_module_names | {"app", "compute", "ingest", "panel", "bokeh"})
