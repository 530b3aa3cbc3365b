"""The threat model names tests; each of them exists."""

import ast
import re

from tests.house.house import ROOT


def test_every_test_that_the_threat_model_names_exists():
    text = (ROOT / "docs" / "threats.md").read_text()
    named = set(re.findall(r"`(test_\w+|tests/[\w/]+\.py)`", text))
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path.is_file()]
    known = {path.relative_to(ROOT).as_posix() for path in paths}
    for path in paths:
        nodes = ast.walk(ast.parse(path.read_text()))
        known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    assert len(named) > 10
    assert not named - known, f"docs/threats.md names tests that are not there: {named - known}"
    rows = [line for line in text.splitlines() if line.startswith("| ") and "wants" not in line]
    assert all("`" in row.rpartition(" | ")[2] for row in rows), "a threat that no test shows"
