"""Rule: what takes long to compile is compiled beside the loop, one thing after the other.

The first start ever compiles all kernels, a minute on a slow core; later ones load them in a
second. Enters: named tasks, which run in a thread in their order while the loop already serves
what needs none of them. Leaves: what each made, and a line that says how far it is. What goes
wrong in the thread is raised where the result is asked for, so it ends the process as ever.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compute.table import LIVE_TABLES
from ingest.instrument import Reference

Part = Any  # compute.risk.Part: not imported, because that loop knows nothing of this.
_NONE = np.zeros(0, np.int64)


class Task:
    """One thing to make ready; `result` once `ready`."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        """`make` runs in the thread, or in `Warming.finish`."""
        self.name, self.make = name, make
        self.done = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make it."""
        try:
            self._result = self.make()
        except BaseException as error:  # Raised again by who asks for the result.
            self._error = error
        self.done.set()

    @property
    def ready(self) -> bool:
        """Whether `result` is there, or the reason why it will never be."""
        return self.done.is_set()

    @property
    def result(self) -> Any:
        """What was made; raises what went wrong."""
        if self._error is not None:
            raise self._error
        return self._result


class Warming:
    """The tasks, in a thread of their own once started."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Nothing runs yet."""
        self.tasks = list(tasks)

    def start(self) -> "Warming":
        """Begin; the thread ends with the process."""
        threading.Thread(target=self.finish, name="warming", daemon=True).start()
        return self

    def finish(self) -> None:
        """Run what has not run, in order."""
        for task in self.tasks:
            if not task.ready:
                task.run()

    @property
    def progress(self) -> str:
        """What is being made ready: "options, 2 of 3"; "" once all is."""
        for number, task in enumerate(self.tasks, 1):
            if not task.ready:
                return f"{task.name}, {number} of {len(self.tasks)}"
        return ""


class Deferred:
    """A part of compute/risk.py that joins once its task has made it."""

    tables: Mapping[str, np.ndarray] = {}  # None of those that are deferred has its own.

    def __init__(self, task: Task, warming: Warming | None = None) -> None:
        """`warming`: whose progress the health tells."""
        self.task, self.warming = task, warming
        self.part: Part | None = None
        self._reference: Reference | None = None

    @property
    def health(self) -> dict[str, Any]:
        """The part's, and what is still being made ready."""
        told: dict[str, Any] = {"starting": self.warming.progress} if self.warming else {}
        return told | (getattr(self.part, "health", {}) if self.part else {})

    def grow(self, reference: Reference) -> None:
        """Handed on, now or when the part is there."""
        self._reference = reference
        if self.part:
            self.part.grow(reference)

    def step(
        self, tables: Mapping[str, np.ndarray], changed: Mapping[str, np.ndarray], now_ns: int
    ) -> np.ndarray:
        """The part's step; to its first one everything has changed."""
        if self.part is None:
            if not self.task.ready or self._reference is None:
                return _NONE
            self.part = self.task.result
            self.part.grow(self._reference)
            every = {table.name: np.arange(len(tables[table.name])) for table in LIVE_TABLES}
            changed = {**changed, **every}
        rows: np.ndarray = self.part.step(tables, changed, now_ns)
        return rows
