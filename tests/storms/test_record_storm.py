"""The storm's short form: whatever is killed or woken, the record is whole and the log's."""

import pytest

from tests.storms.record import run


def test_a_recorder_asleep_clickhouse_and_redis_killed() -> None:
    assert "3 blows" in run(7, 0.0, 10_000, ("sleep", "clickhouse", "redis"))


@pytest.mark.requires("kafka")
def test_a_real_kafka_killed_and_frozen() -> None:
    assert "2 blows" in run(8, 0.0, 20_000, ("kafka", "freeze kafka"), brokers=1)
