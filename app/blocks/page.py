"""Door: Panel's making of a page, with what is the same for every page made once.

The server's loop pushes to everybody, so a page that is being made stops it. What Panel finds
anew for each page although it depends on nothing of it (scripts, styles, what models need) takes
half of that time; here it is remembered by the kinds of models on the page. A layout is read once,
and again when its file has changed; its pages are made in threads: Panel runs a file in the loop,
and a function beside it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.embed.bundle import URL
from panel.io import document as panel_document
from panel.io import server as panel_server

from app.blocks.desk import Desk, desk_of

SWITCH_SECONDS = 0.0005  # A thread that works on Python gives the loop its turn within this.
BUNDLES_MAX = 64  # Kinds of pages; a desk is one.

Make = Callable[..., Any]


def remembered(make: Make) -> Make:
    """`bundle_resources` that answers pages of the same models and settings with one bundle."""
    known: dict[Any, Any] = {}

    def bundle(roots: Any, resources: Any, *arguments: Any, **options: Any) -> Any:
        if roots is None:
            return make(roots, resources, *arguments, **options)
        kinds = frozenset(type(model) for root in roots for model in root.references())
        settings = tuple(
            repr(getattr(pn.config, name)) for name in ("raw_css", "css_files", "js_files")
        )
        part = getattr(resources, "absolute", False)  # Of another's page, which is elsewhere.
        place = (resources.mode, getattr(resources, "root_url", ""), pn.state.rel_path, part)
        key = (kinds, settings, place, repr(arguments), repr(options), pn.config.theme)
        found = known.get(key)
        if found is None:
            if len(known) >= BUNDLES_MAX:
                known.clear()
            found = known[key] = make(roots, resources, *arguments, **options)
            for files in (found.js_files, found.css_files) if part else ():
                files[:] = [URL(_whole(one.url, resources.root_url)) for one in files]
        return found

    bundle.tickglass = True  # type: ignore[attr-defined]
    return bundle


def _whole(url: str, root: str) -> str:
    """Panel leaves some addresses relative to our page, also where it is another's."""
    own = url.removeprefix(f"{pn.state.rel_path}/")
    return f"{root}{own}" if own.startswith("static/") else url


Own = Callable[[Desk, str, str], Desk]


def page_of(layout: Path, own: Own | None = None) -> Callable[[], None]:
    """The page function of a layout, which is read for the first page, and when it has changed.

    What is wrong in it is shown on its own page; nothing is raised. `own` makes of it the desk of
    whose address says `mine`, which a person has kept, or `with`, what was done to it since.
    """
    read: dict[int, Desk] = {}  # By the moment at which the file was written.

    def page() -> None:
        stamp = layout.stat().st_mtime_ns if layout.is_file() else 0
        if stamp not in read:
            read.clear()
            read[stamp] = desk_of(layout)
        mine, done = asked("mine"), asked("with")
        desk = own(read[stamp], mine, done) if own and (mine or done) else read[stamp]
        desk.servable()

    return page


def asked(name: str) -> str:
    """What the address of the page that is being made says of that name, "" where nothing."""
    found = (pn.state.session_args or {}).get(name)
    return found[-1].decode(errors="replace") if found else ""


def _leave_it() -> None:
    """In place of Panel's full collection after a page has gone, see app/garbage.py."""


def lighten() -> None:
    """Make pages so in this process; once."""
    sys.setswitchinterval(SWITCH_SECONDS)
    panel_document._garbage_collect = _leave_it  # noqa: SLF001
    make = vars(panel_server)["bundle_resources"]
    if not hasattr(make, "tickglass"):
        panel_server.bundle_resources = remembered(make)  # type: ignore[attr-defined]
