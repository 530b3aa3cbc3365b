"""Rule: what Tickglass is made of: a bill of the pinned packages, and what is known against them.

The bill (CycloneDX 1.6, JSON) is made of requirements/base.txt alone, with every hash in it, and
needs no network. Whether something is known against a package is asked of the advisory source by
pip-audit, and where that cannot be asked it is said: no answer is not a good one.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from app.settings import ROOT

PINS = ROOT / "requirements" / "base.txt"
AUDIT_SECONDS = 300
ANSWER_SECONDS = 15
_KIND = "py" + "pi"  # Of package addresses, as package URLs name it.


class SupplyError(RuntimeError):
    """It cannot be said; the text says why and what to do."""


class Package(NamedTuple):
    """One pin, and the SHA-256 of each file that it may be installed from."""

    name: str
    version: str
    hashes: tuple[str, ...]


class Advisory(NamedTuple):
    """Something that is known against an installed version."""

    package: str
    version: str
    name: str
    fixed: tuple[str, ...]


def packages(pins: Path = PINS) -> Iterator[Package]:
    """Every package that is pinned there."""
    for line in pins.read_text().replace("\\\n", " ").splitlines():
        if not line or line.startswith("#"):
            continue
        words = line.split("--hash=sha256:")
        pin = Requirement(words[0])
        version = str(pin.specifier).removeprefix("==")
        yield Package(pin.name, version, tuple(word.strip() for word in words[1:]))


def bill(version: str, pins: Path = PINS) -> str:
    """The bill of materials, the same for the same pins."""
    try:
        from cyclonedx.model import HashAlgorithm, HashType
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ImportError:
        raise SupplyError(_LACKING) from None
    product = Component(name="tickglass", version=version, type=ComponentType.APPLICATION)
    product.bom_ref.value = "tickglass"
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, pins.read_text()))
    bom.metadata.component = product
    parts = [
        Component(
            name=one.name,
            version=one.version,
            purl=PackageURL(_KIND, None, one.name, one.version),
            bom_ref=f"{one.name}@{one.version}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in one.hashes],
        )
        for one in packages(pins)
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(product, parts)
    made = json.loads(JsonV1Dot6(bom).output_as_string())
    made["metadata"].pop("timestamp", None)  # The pins' own date is their commit's.
    return json.dumps(made, indent=1)


_LACKING = "The packages of development are needed: ./tickglass installs them for its tests."


def advisories(pins: Path = PINS) -> list[Advisory]:
    """All that is known against the pinned packages; SupplyError where nobody could be asked."""
    words = ["-r", str(pins), "--require-hashes", "--disable-pip", "--format", "json"]
    words += ["--progress-spinner", "off", "--timeout", str(ANSWER_SECONDS)]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pip_audit", *words],
            capture_output=True,
            text=True,
            timeout=AUDIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SupplyError(f"The advisory source gave no answer in {AUDIT_SECONDS} s.") from None
    if "No module named pip_audit" in ended.stderr:
        raise SupplyError(_LACKING)
    try:
        told = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SupplyError(
            "The advisory source cannot be reached, so nothing is known of the packages: "
            f"{last:.200}. Ask again where it can."
        ) from None
    return [
        Advisory(one["name"], one["version"], vuln["id"], tuple(vuln.get("fix_versions", ())))
        for one in told
        for vuln in one.get("vulns", ())
    ]
