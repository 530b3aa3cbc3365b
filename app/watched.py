"""Rule: what every page says of who seals and who witnesses the record; nothing while all is well.

A page shows `notes` among its troubles and `figures` in its strip: up to when the record is
countersigned, up to when the digests of live and record agree, and what the newest run of
`./tickglass audit verify` found.
"""

from collections.abc import Mapping
from typing import Any

OLD_SECONDS = 10.0
LATE_SECONDS = 600.0  # A witness may lag, but ten minutes are worth a word.

Health = Mapping[str, Mapping[str, Any]]


def notes(health: Health, now_ms: float) -> list[str]:
    """Sentences for people; a role that has never reported is not expected."""
    said = []
    for role, words in (("seal", "the record is not being signed"), ("witness", "the witness")):
        row = health.get(f"{role}.0")
        if not row:
            continue
        age_s = (now_ms - row["now_ms"]) / 1e3
        if age_s > OLD_SECONDS:
            said.append(f"{role} silent for {age_s:.0f} s")
        elif row.get("state") == "fault":
            said.append(f"{words} found a fault: {row.get('problem')}")
        elif role == "seal" and row.get("problem"):
            said.append(f"{words}: {row['problem']}")
        elif (row.get("behind_s") or 0) > LATE_SECONDS:
            said.append(f"{words} is {row['behind_s'] / 60:.0f} min behind")
    behind = health.get("record.0", {}).get("history_problem")
    if behind:
        said.append(f"bars and books of the past wait: {behind}")
    if _disagree(health):
        said.append(str(health["witness.0"]["digests"]))
    if _refuted(health):
        said.append(f"audit verify found: {health['witness.0'].get('verify_fault')}")
    return said


def _disagree(health: Health) -> bool:
    return health.get("witness.0", {}).get("digests") not in (None, "", "agree", "none yet")


def _refuted(health: Health) -> bool:
    return health.get("witness.0", {}).get("verified") is False


def _proof(health: Health, now_ms: float) -> str | None:
    """One word on both: "agree", "late", or "wrong"; None where nobody witnesses."""
    row = health.get("witness.0")
    if not row:
        return None
    if row.get("state") == "fault" or _disagree(health) or _refuted(health):
        return "wrong"
    late = row.get("root_ms") is not None and now_ms - row["root_ms"] > LATE_SECONDS * 1e3
    watching = {role: health[role] for role in ("seal.0", "witness.0") if role in health}
    return "late" if late or notes(watching, now_ms) else "agree"


def figures(health: Health, now_ms: float) -> dict[str, float | str | None]:
    """Moments (ms): the newest countersigned root, the end of the last minute that agrees.

    And when all of the record was read again, with how many rows; and one word on how far all this
    can be relied on.
    """
    row = health.get("witness.0", {})
    moments = {"countersigned_ms": row.get("root_ms"), "digests_ms": row.get("digests_ms")}
    verified = {name: row.get(name) for name in ("verified", "verified_ms", "verified_rows")}
    return {**moments, **verified, "proof": _proof(health, now_ms)}
