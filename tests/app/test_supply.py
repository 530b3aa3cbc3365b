"""The bill of materials says what is pinned, and an audit that nobody answered is no good news."""

import json
import re

from app import supply
from app.settings import ROOT


def test_the_bill_and_an_audit_without_an_answer(tickglass, tmp_path):
    out, nobody = tmp_path / "sbom.json", "http://127.0.0.1:1"
    told = tickglass("supply", "--out", str(out), timeout=300, HTTPS_PROXY=nobody, NO_PROXY="")
    assert told.returncode == 1
    assert "cannot be reached" in told.stderr, told.stderr
    bill = json.loads(out.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", supply.PINS.read_text(), re.MULTILINE)
    named = {(one["name"], one["version"]) for one in bill["components"]}
    assert named == set(pins)
    hashes = {each["content"] for one in bill["components"] for each in one["hashes"]}
    assert hashes == set(re.findall(r"sha256:(\w{64})", supply.PINS.read_text()))
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert bill["metadata"]["component"]["version"] == version[1]
    assert supply.bill("1") == supply.bill("1")


def test_advisories_are_told_with_what_mends_them(monkeypatch):
    class Ended:
        stderr = ""
        stdout = json.dumps(
            {
                "dependencies": [
                    {"name": "a", "version": "1", "vulns": [{"id": "X-1"}]},
                    {"name": "b"},
                ]
            }
        )

    monkeypatch.setattr(supply.subprocess, "run", lambda *_, **__: Ended)
    assert supply.advisories() == [supply.Advisory("a", "1", "X-1", ())]
