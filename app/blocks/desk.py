"""Door: Panel. A desk is one page, and the page is one component.

`Desk` turns blocks into the spec that the page and the session layer both read, and on page
creation makes the component and hands its document to `app.runtime.attach`. It knows nothing of
tables' contents, sockets or rates.
"""

import json
import runpy
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import panel as pn
import param
from panel.custom import Children  # type: ignore[attr-defined]
from panel.models.esm import DataEvent

from app.blocks import policy, source
from app.blocks.block import Block, Feeds, Grid, Strip
from app.blocks.column import codes
from app.blocks.problem import Problem, attempt, shown, sound
from app.blocks.stock import Stock
from app.layout import syntax
from app.settings import load
from compute.table import STALE_S

# The order of the tabs; a desk that is not named stands behind them.
FIRST = (
    *("overview", "portfolio", "risk", "execution"),
    *("equities", "options", "futures", "rates", "credit", "fx"),
    *("crypto", "charts", "operations"),
)


class Session(Protocol):
    """What a page needs of its session, see `app.session`."""

    reference: str  # JSON: a list of instruments' fields, of which the page reads a few.

    def control(self, message: dict[str, Any]) -> None:
        """Take a rare message of the page, see README.md."""


def join(spec: dict[str, Any], document: Any, send_control: Callable[[Any], None]) -> Session:
    """A session for the page; `send_control` takes a dict for the page.

    The running process is asked for only when a page is made, so that a desk can be described
    and tested without one.
    """
    session: Session = import_module("app.runtime").attach(spec, document, send_control)
    return session


@cache
def desks() -> list[list[str]]:
    """Title and address of every desk there is, those most looked at first; for the bar."""
    stems = sorted({path.stem for folder in load().layout_folders for path in folder.glob("*.py")})
    stems.sort(key=lambda stem: FIRST.index(stem) if stem in FIRST else len(FIRST))
    return [[stem.upper() if len(stem) < 3 else _words(stem), stem] for stem in stems]


def _home(document: Any) -> str:
    """Our own address, where the page is being made as part of another's; "" where it is ours."""
    request = getattr(getattr(document, "session_context", None), "request", None)
    asked = request.arguments.get("bokeh-absolute-url") if request else None
    if request is None or not asked:
        return ""
    home = urlsplit(asked[-1].decode(errors="replace"))
    # Whoever made a link may say what he likes in it, and the page shows its ticket there.
    ours = home.scheme in ("http", "https") and home.netloc == request.headers.get("Host")
    return home.geturl() if ours else ""


def _words(stem: str) -> str:
    return stem.replace("_", " ").capitalize()


@cache
def component() -> type[Any]:
    """The class of the one component; made on first use because it reads the page's program."""

    class TickglassDesk(pn.custom.JSComponent):
        """A whole desk on one element. Numbers come by push, never by these parameters."""

        spec = param.String(doc="Desk spec, JSON")
        reference = param.String(doc="Instruments, JSON")
        ticket = param.String(doc="With it the server's name, JSON; empty: Bokeh connects again")
        stock = Children(doc="What stock blocks show, in the order of the panels")
        sources = param.List(doc="Names of their sources")

        _esm = source.module()

        session: Session | None = None

        @classmethod
        def _render_esm(cls, *_: Any, **__: Any) -> str:
            return source.module()  # As it is: Panel looks through 200 kB for indents, each time.

        def _handle_msg(self, data: Any) -> None:
            if self.session is not None and isinstance(data, dict):
                self.session.control(data)

        def _server_event(self, doc: Any, event: Any) -> None:
            if isinstance(event, DataEvent):
                # Panel would count itself busy and tell every page so: 1 ms for each message.
                self._handle_msg(event.data)
            else:
                super()._server_event(doc, event)

    return TickglassDesk


@dataclass(slots=True)
class Desk:
    """A page: blocks by place. `left`, `centre`, `right` are stacks, `foot` lies under centre."""

    title: str
    strip: Strip = field(default_factory=Strip)
    left: Sequence[Block] = ()
    centre: Sequence[Block] = ()
    foot: Sequence[Block] = ()
    right: Sequence[Block] = ()
    # Of the left and the right stack: on a wide screen, and below 1500 px.
    widths: tuple[int, int, int, int] = (320, 448, 264, 336)
    file: str = field(default="", init=False)  # Of the layout, where it was read from one.
    stem: str = field(default="", init=False)  # Under which it is served.
    mine: dict[str, Any] | None = field(default=None, init=False)  # Whose it is, see app/desks.py.
    refs: list[str] = field(default_factory=list, init=False)  # What an address calls its blocks.
    said: str = field(default="", init=False)  # Why it is not the desk that was asked for.
    _told: tuple[dict[str, Any], str] | None = field(default=None, init=False, repr=False)

    @property
    def blocks(self) -> list[Block]:
        """All of them in the order of the panels."""
        return [*self.left, *self.centre, *self.foot, *self.right]

    def spec(self) -> dict[str, Any]:
        """What travels: `feeds` numbered as on the wire, `panels` by place."""
        stacks = {
            "left": self.left,
            "centre": self.centre,
            "foot": self.foot,
            "right": self.right,
        }
        places = {place: [sound(block, self.file) for block in stacks[place]] for place in stacks}
        feeds = Feeds()
        # The grid of instruments is the first feed, so it has number 0 on every desk.
        others = (*places["left"], *places["foot"], *places["right"])
        for block in (*places["centre"], self.strip, *others):
            feeds.add(block)
        refs = iter(self.refs or [f"{k}:{one.kind}" for k, one in enumerate(self.blocks)])
        panels = [
            block.spec() | {"place": place, "feeds": feeds.numbers(block), "ref": next(refs)}
            for place, blocks in places.items()
            for block in blocks
        ]
        return {
            "title": self.title,
            "stem": self.stem,
            "mine": self.mine,
            "said": self.said,
            "drafted": bool(self.refs),
            "fdc3": load().fdc3.split(",") if load().fdc3 else [],
            "desks": desks(),
            "widths": list(self.widths),
            "strip": self.strip.spec() | {"feeds": feeds.numbers(self.strip)},
            "feeds": feeds.spec(),
            "panels": panels,
            "codes": codes(),
            "stale_s": list(STALE_S),
        }

    def view(self) -> Any:
        """The component for the current document, joined to its session."""
        if self._told is None:
            spec = self.spec()
            self._told = spec, json.dumps(spec)
        spec, text = self._told
        stock = [block.made() for block in self.blocks if isinstance(block, Stock)]
        made = component()(
            spec=text,
            stock=[shown for _, shown in stock],
            sources=[name for name, _ in stock],
            sizing_mode="stretch_both",
            margin=0,
        )
        made.session = join(spec, pn.state.curdoc, made._send_msg)  # noqa: SLF001
        made.ticket = getattr(made.session, "ticket", "")  # Before: what it names is not newer.
        made.reference = made.session.reference
        rights = getattr(made.session, "rights", None)
        home = _home(pn.state.curdoc)
        if home or (rights and not rights.everything):
            spec = rights.blocks(spec) if rights else spec
            made.spec = json.dumps(spec | ({"home": home} if home else {}))
        return made

    def servable(self) -> None:
        """Put the desk on the page that is being made; or only describe it, see `describe`."""
        described = _described.get()
        if described is not None:
            described.append(self)
            return
        pn.config.raw_css.append(_FIRST_PAINT)
        pn.config.reconnect = True
        pn.config.notifications = False  # The page says it itself, beside the numbers.
        pn.state.curdoc.template = policy.template()  # type: ignore[union-attr]
        self.view().servable(title=f"Tickglass · {self.title}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """In a notebook: the desk itself."""
        from app.blocks.notebook import bundle

        return bundle(self)


# The desks of a layout that is read to be described; None while a page is made.
_described: ContextVar[list[Desk] | None] = ContextVar("described", default=None)


def describe(layout: Path) -> Desk:
    """The desk that a layout's file describes; ValueError where it describes none."""
    described: list[Desk] = []
    token = _described.set(described)
    try:
        runpy.run_path(str(layout))
    finally:
        _described.reset(token)
    if not described:
        raise ValueError(f"{layout.name} describes no desk: end it with Desk(...).servable()")
    described[-1].file, described[-1].stem = str(layout), layout.stem
    return described[-1]


def desk_of(layout: Path) -> Desk:
    """The same; where the layout is none, a desk that says why. Nothing is raised."""
    _, found = syntax(layout, shown(str(layout)))
    desk, wrong = None, "\n".join(map(str, found))
    if not found:
        desk, wrong = attempt(lambda: describe(layout), str(layout))
    title = layout.stem.replace("_", " ").capitalize()
    return desk or Desk(
        title,
        left=[Problem(f"{layout.name} is no desk", text=wrong)],
        centre=[Grid("Instruments", columns=["bid", "ask", "last", "change", "volume"])],
        widths=(560, 560, 480, 480),
    )


# Before the component is there the page is the panel colour, and Panel's own spinner stays away.
_FIRST_PAINT = "html,body{background:#0e1217;overflow:hidden}#loader{display:none!important}"
