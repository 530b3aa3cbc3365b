"""Key: what `./tickglass audit prove screen:WHO@MOMENT` and `audit check` do with its proof."""

from collections.abc import Sequence

from app import moment as moments
from app.recall import screens
from compute import screen_proof
from compute.archive import Archive
from compute.evidence import Evidence
from compute.proof import ProofError
from compute.roots import Signed
from compute.screen import NotOnRecordError, rows_of
from compute.screen_proof import Seen
from compute.tape_row import PageRow

PREFIX = "screen:"


def make(
    archive: Archive, evidence: Evidence, signed: Sequence[Signed], name: str, now_ns: int
) -> tuple[bytes, str]:
    """The proof of `screen:WHO@MOMENT`, and what else could have been meant.

    WHO is a user or the name of a page, or nothing where only one page was open.
    """
    who, at, when = name.removeprefix(PREFIX).rpartition("@")
    if not at:
        raise ProofError(
            f"{name} names no screen: screen:WHO@MOMENT, for example screen:ana@14:03:02.113, "
            "WHO being a user or a page as `./tickglass asof MOMENT --user` prints it."
        )
    try:
        ts = moments.parse(when, now_ns)
    except moments.MomentError as error:
        raise ProofError(str(error)) from None
    pages = _pages(archive, ts, who)
    others = ", ".join(page.session for page in pages[1:])
    also = f"Other pages showed something too: {others}." if others else ""
    return screen_proof.make(archive, evidence, signed, pages[0], ts), also


def _pages(archive: Archive, ts: int, who: str) -> list[PageRow]:
    """Pages of that user, or with that name, that showed something; the newest first."""
    why = ""
    for asked in ((who, ""), ("", who)):
        try:
            return [page for page, _ in screens(archive, ts, *asked)]
        except NotOnRecordError as error:
            why = why or str(error)
    raise ProofError(why)


def told(seen: Seen, names: dict[int, str]) -> str:
    """A proof that holds, in words: every cell, and what vouches for it."""
    shown, said, block = seen.shown, seen.rooted.fields, seen.rooted.block
    page = shown.page
    lines = [f"{page.desk} of {page.user or 'a user without a name'}, {page.session}"]
    for table in rows_of(shown, names.items()):
        lines.append(f"{table['table']}, {len(table['rows'])} of {table['total']} rows:")
        for row in table["rows"]:
            known = {name: value for name, value in row["cells"].items() if value is not None}
            cells = " ".join(f"{name}={value:.10g}" for name, value in known.items())
            lines.append(f"  {row.get('symbol', row['row'])!s:<12} {cells}")
    until = f", until {moments.show(shown.next_painted_ns)}" if shown.next_painted_ns else ""
    sent = f"from a push of {moments.show(shown.sent_ns)}, number {shown.screen.sequence}"
    lines += [
        f"asked        what was on the glass at {moments.show(seen.ts)} UTC",
        f"painted      {moments.show(shown.painted_ns)}{until}, {sent}",
        f"batches      {seen.slices} of {page.stream}, every byte as it was sealed",
        f"statement    {block.last} of the tape, SHA-256 {block.digest.hex()}",
        f"root         {said.number} of {said.origin}, {moments.show(said.ts_ns)}",
        f"             {said.root.hex()}",
    ]
    for key, second in seen.rooted.signers:
        looked = f", looked at {moments.show(second * 10**9)}" if second else ""
        lines.append(f"signed by    {key.text}{looked}")
    lines.append("Proven: the page said it had painted this; who it was is the record's word.")
    return "\n".join(lines)
