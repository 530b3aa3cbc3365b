"""What was refused, on the desk of operations: found, looked at, and published again by hand."""

from ingest.instrument import AssetClass
from tests.browser import chromium

PATIENCE_MS = 90_000
PERSON = "Ann Lee"


def replayed_by_hand(port: int, name: str, value: bytes) -> None:
    """The dialog of one value that stays bad, from the list to what became of it."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/operations")
        row = page.locator(f"tr[data-kept='{name}']")
        row.get_by_role("button").click()
        dialog = page.get_by_role("dialog", name="What was refused")
        facts = dialog.locator(".facts")
        for said in (name, "truncated", f"{AssetClass.EQUITY.topic}:0:", f"{len(value):,}"):
            facts.get_by_text(said).first.wait_for()
        shown = dialog.get_by_label("Bytes").inner_text().splitlines()
        assert shown[0].startswith(f"0000  {value[:16].hex(' ')}")
        assert len(shown) == -(-len(value) // 16)
        dialog.get_by_label("Your name").fill(PERSON)
        dialog.get_by_role("button", name="Replay").click()
        done = dialog.get_by_role("status").filter(has_text=f"by {PERSON}.")
        done.wait_for()
        assert done.inner_text().startswith(f"Published again as {AssetClass.EQUITY.topic}:0:")
        facts.get_by_text("Refused again").wait_for()
        facts.get_by_text(f"by {PERSON} at").wait_for()
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="hidden")
        row.get_by_text("again", exact=True).wait_for()
        page.locator("tr[data-kept]").get_by_text("replay", exact=True).first.wait_for()
        assert not errors
