"""Rule: large arrays and bytes one after another, copied while other threads go on.

`bytes.join`, `tobytes` and `+` hold the interpreter while they copy: of an engine's 20 MB every
other thread, and with it every cell, would wait for tens of milliseconds. A copy between arrays
holds nothing.
"""

from collections.abc import Sequence

import numpy as np

Part = np.ndarray | bytes | memoryview


def flat(parts: Sequence[Part]) -> memoryview:
    """The bytes of contiguous arrays and buffers, in their order."""
    held = [_bytes(part) for part in parts]
    room = np.empty(sum(map(len, held)), np.uint8)
    start = 0
    for part in held:
        room[start : start + len(part)] = part
        start += len(part)
    return memoryview(room)


def _bytes(part: Part) -> np.ndarray:
    if isinstance(part, np.ndarray):
        return np.ascontiguousarray(part).reshape(-1).view(np.uint8)
    return np.frombuffer(part, np.uint8)
