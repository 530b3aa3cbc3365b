"""Shape: an alert on record: its place in the log, its fields, the message itself, its hashes.

The identity of a row is (topic, partition, offset). Every row is a block of its own in the chain
of its partition (compute/chain.py): the leaf is over the log's time and the message as it came, so
a message that is no alert is on record too, of kind `refused` and with empty fields.
"""

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

from compute import chain
from compute.incident import read
from compute.limits import Alert
from compute.row import number

if TYPE_CHECKING:  # The client of Kafka stays out of whoever only reads the record.
    from ingest.source import Message

ALERT_SCHEMA = 1
REFUSED_KIND = "refused"

_WORD = "LowCardinality(String)"
_MOMENT = "DateTime64(9, 'UTC')"
_HASH = "FixedString(32)"
COLUMNS = (  # Name and ClickHouse type, in the order of the bytes.
    *(("topic", "UInt8"), ("partition", "UInt16"), ("offset", "UInt64"), ("ts_log", _MOMENT)),
    *(("alert", "String"), ("number", "UInt32"), ("kind", _WORD), ("level", _WORD)),
    *(("before", _WORD), ("ts_event", _MOMENT), ("ts_alert", _MOMENT), ("limit", "UInt32")),
    *(("name", "String"), ("measure", _WORD), ("scope", _WORD), ("key", "String")),
    *(("value", "Float64"), ("warning", "Float64"), ("breach", "Float64")),
    *(("inputs", "String"), ("person", "String")),
    *(("message", "String"), ("digest", _HASH), ("link", _HASH)),
)
_FIXED = {  # Little endian, as in ClickHouse's RowBinary.
    "UInt8": struct.Struct("<B"),
    "UInt16": struct.Struct("<H"),
    "UInt32": struct.Struct("<I"),
    "UInt64": struct.Struct("<Q"),
    "Float64": struct.Struct("<d"),
    _MOMENT: struct.Struct("<q"),
}


class AlertRow(NamedTuple):
    """One message on record."""

    topic: int
    partition: int
    offset: int
    ts_log: int  # ns
    message: bytes
    digest: bytes
    link: bytes

    @property
    def sealed(self) -> chain.Sealed:
        """The row as the chain knows it."""
        return chain.Sealed(*_identity(*self[:3]), self.digest, self.link)

    @property
    def alert(self) -> Alert | None:
        """What it says, if it is an alert."""
        return read(self.message)


def canonical(ts_log: int, message: bytes) -> bytes:
    """The bytes that a row's leaf is over."""
    return _FIXED[_MOMENT].pack(ts_log) + message


def row(message: "Message", previous: bytes) -> AlertRow:
    """The row of a message, `previous` being the link before it in its partition."""
    place, ts_log, value = message[:3], message.timestamp_ns, message.value
    digest = chain.leaf(_identity(*place), [canonical(ts_log, value)])
    return AlertRow(*place, ts_log, value, digest, chain.link(previous, digest))


def packed(one: AlertRow) -> bytes:
    """Its bytes in ClickHouse's format RowBinary."""
    alert = one.alert
    values = {**one._asdict(), "value": None}
    if alert is None:
        values |= {"kind": REFUSED_KIND, "ts_event": one.ts_log, "ts_alert": one.ts_log}
    else:
        values |= {name: getattr(alert, name) for name, _ in COLUMNS if hasattr(alert, name)}
    return b"".join(_bytes(values.get(name), kind) for name, kind in COLUMNS)


def _bytes(value: object, kind: str) -> bytes:
    if kind in _FIXED:
        absent = math.nan if kind == "Float64" else 0
        return _FIXED[kind].pack(absent if value is None else value)
    text = value if isinstance(value, bytes) else str(value or "").encode(errors="replace")
    return text if kind == _HASH else number(len(text)) + text


def _identity(topic: int, partition: int, offset: int) -> chain.Identity:
    return (topic, partition, offset, offset, 1, ALERT_SCHEMA)
