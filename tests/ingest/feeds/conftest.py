from pathlib import Path

import numpy as np
import pytest

from ingest.event import EVENT

DATA = Path(__file__).parents[4] / "shared/marketdata"


@pytest.fixture
def recorded():
    """Path of a recorded file; the test is skipped where it is absent."""

    def path(name):
        if not (DATA / name).exists():
            pytest.skip(f"no market data: {DATA / name} is absent")
        return DATA / name

    return path


@pytest.fixture
def everything():
    """All events of a feed as one array."""
    return lambda feed: np.concatenate([np.zeros(0, EVENT), *feed.chunks])
