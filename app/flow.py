"""Rule: whether a page keeps up: what is on its way to it, and how long its paints take.

A page acknowledges what it has painted, several paints in one message: what it painted in time it
tells HOLD_SECONDS late at most, and says by how much; what took long it tells at once. So a page
that keeps up may have the pushes of that long on their way, and gets every cut at once: held back
until the paint of the one before, a cut would miss the frame that is about to be painted. One
that takes longer than two frames is busy: it gets the newest when it has painted the last.
"""

from collections import deque

HOLD_SECONDS = 0.1  # ACK_HOLD_MS of app/blocks/wire.js.
PROMPT_SECONDS = 0.04
# A hundred cuts a second for as long as an acknowledgement may take, and a frame beside.
WINDOW = 16


class Flow:
    """What is on its way to one page."""

    __slots__ = ("prompt", "waiting")

    def __init__(self) -> None:
        """Nothing is, and the page is taken to be prompt."""
        self.waiting: deque[tuple[int, float]] = deque()  # sequence and moment of each push
        self.prompt = True  # Whether its last paint came within PROMPT_SECONDS of its push.

    def ready(self, now: float) -> bool:
        """Whether the page keeps up at monotonic `now`: nothing is on its way, or not for long."""
        waiting = self.waiting
        if not waiting:
            return True
        young = now - waiting[0][1] < HOLD_SECONDS + PROMPT_SECONDS
        return self.prompt and young and len(waiting) < WINDOW

    def painted(self, sequence: int, held_s: float, now: float) -> None:
        """The page has painted all up to `sequence`, and kept that to itself for `held_s`."""
        waiting = self.waiting
        while waiting and waiting[0][0] <= sequence:
            _, pushed_at = waiting.popleft()
            self.prompt = now - held_s - pushed_at < PROMPT_SECONDS
