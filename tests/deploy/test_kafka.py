import socket
import subprocess

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from app.settings import ROOT
from ingest.event import EVENT, Kind
from ingest.frame import decode, encode
from ingest.source import Publisher

START = ROOT / "deploy" / "kafka" / "start"


@pytest.mark.requires("kafka")
def test_a_frame_goes_through_a_real_broker(real_kafka):
    events = np.zeros(3, EVENT)
    events["kind"], events["instrument"] = Kind.QUOTE, [7, 8, 9]
    value = encode(events, source=1, first_sequence=0, ts_send=1)
    publisher = Publisher(real_kafka)
    publisher.publish("test.walk", 2, value, b"key")
    assert publisher.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": real_kafka, "group.id": "test"})
    consumer.assign([TopicPartition("test.walk", 2, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert message.error() is None
    assert message.value() == value
    assert decode(message.value()).events["instrument"].tolist() == [7, 8, 9]


@pytest.mark.requires("kafka")
def test_topics_get_the_partitions_that_were_asked_for(real_kafka):
    producer = Producer({"bootstrap.servers": real_kafka})
    producer.produce("test.partitions", b"x")
    assert producer.flush(20) == 0
    topics = producer.list_topics(timeout=10).topics
    assert len(topics["test.partitions"].partitions) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port"], "--port needs a value"),
        (["--port", "x"], "are numbers"),
        (["--dance"], "there is no option --dance"),
    ],
)
def test_a_wrong_command_line_is_said(options, said):
    done = subprocess.run([START, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.requires("kafka")
def test_a_taken_port_is_said(real_kafka, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = subprocess.run(
            [START, "--port", str(port), "--data", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
