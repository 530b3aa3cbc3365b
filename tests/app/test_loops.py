import threading
import time

from app.loops import PatientRows
from ingest.instrument import AssetClass, Instrument
from ingest.source import REFERENCE_TOPIC, Publisher


def row(number):
    return Instrument(number, f"S{number}", AssetClass.FX, "XTST", "USD", 1.0, 0.01, 2)


def publish(address, rows):
    publisher = Publisher(address)
    for one in rows:
        publisher.publish(REFERENCE_TOPIC, -1, one.to_json(), one.symbol.encode())
    assert publisher.flush(5) == 0


def test_whoever_starts_first_waits_for_the_reference_rows(kafka):
    late = threading.Timer(0.5, publish, (kafka, [row(k) for k in range(2_500)]))
    late.start()
    source = PatientRows(kafka, "test")
    rows = source.read_all()
    source.close()
    late.join()
    assert {one.id for one in rows} == set(range(2_500))


def test_a_market_without_instruments_is_not_waited_for_for_ever(kafka):
    source = PatientRows(kafka, "test")
    started = time.monotonic()
    assert source.read_all(0.3) == []
    source.close()
    assert time.monotonic() - started < 6
