"""Key: the commands `./tickglass quarantine ...`: what was refused, looked at and replayed."""

import getpass
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.settings import Settings, load

Data = Annotated[Path | None, typer.Option(help="Folder of record and logs.  [.tickglass]")]
Kafka = Annotated[str | None, typer.Option(help="Kafka, host:port[,host:port].")]
Name = Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `list` names it.")]
LINE_BYTES = 16
END_SECONDS = 10.0  # To read to the end of the topic.
VERDICT_SECONDS = 2.0  # `live` refuses within milliseconds what it refuses.


def add(cli: typer.Typer, need: Callable[..., None]) -> None:
    """Add the commands; `need` refuses settings without an address."""
    group = typer.Typer(no_args_is_help=True, help="Look at what was refused, and replay it.")
    cli.add_typer(group, name="quarantine")

    def settings_of(data: Path | None, kafka: str | None) -> Settings:
        settings = load(data=data, kafka=kafka)
        need(settings, "kafka")
        return settings

    @group.command("list")
    def listed(data: Data = None, kafka: Kafka = None) -> None:
        """List the newest values that were refused: place, reason, who replayed them."""
        with quarantine(settings_of(data, kafka)) as kept:
            lines = [_line(one) for one in kept.listed()]
        typer.echo("\n".join(lines) if lines else "Nothing was refused.")

    @group.command()
    def show(name: Name, data: Data = None, kafka: Kafka = None) -> None:
        """Show one whole: why it was refused, and its bytes."""
        with quarantine(settings_of(data, kafka)) as kept:
            one, value = _found(lambda: (kept.look(name), kept.value(name)))
        typer.echo("\n".join([_line(one), one["text"], *dump(value)]))

    @group.command()
    def replay(
        name: Name,
        person: Annotated[
            str, typer.Option(help="Who does it, for the record.  [who is signed in here]")
        ] = "",
        data: Data = None,
        kafka: Kafka = None,
    ) -> None:
        """Publish one again to the topic it came from. What is still bad is refused again."""
        settings = settings_of(data, kafka)
        who = person or getpass.getuser()
        with quarantine(settings) as kept:
            done = _found(lambda: kept.replay(name, who))
            place = "{topic}:{partition}:{offset}".format(**done)
            typer.echo(f"{name} was published again as {place} by {who}.")
            _record(settings, name, who, place)
            again = _again(kept, name)
        if again:
            typer.echo(f"Refused again, as {again['name']}: {again['text']}")
            raise typer.Exit(1)


@contextmanager
def quarantine(settings: Settings) -> Iterator[Any]:
    """What was refused, read to the end of the topic."""
    from compute.quarantine import Quarantine
    from ingest.kept import KeptSource, Replayer

    source = KeptSource(settings.kafka)
    kept = Quarantine(source, Replayer(settings.kafka))
    deadline = time.monotonic() + END_SECONDS
    while source.missing > 0 and time.monotonic() < deadline:
        kept.take(0.1)
    try:
        yield kept
    finally:
        source.close()


def dump(value: bytes) -> list[str]:
    """Bytes in hexadecimal and as letters, sixteen a line."""
    lines = []
    for at in range(0, len(value), LINE_BYTES):
        part = value[at : at + LINE_BYTES]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:06x}  {part.hex(' '):<47}  {letters}")
    return lines


def _line(one: dict[str, Any]) -> str:
    moment = datetime.fromtimestamp(one["ms"] / 1e3, UTC).isoformat(" ", "milliseconds")
    place = "{topic}:{partition}:{offset}".format(**one)
    tries = [f"replayed by {done['person']} as offset {done['offset']}" for done in one["replays"]]
    told = [*tries, *([f"refused again as {one['again']}"] if one["again"] else [])]
    said = "; ".join([*([f"replay of {one['of']}"] if one["of"] else []), *told])
    return f"{one['name']:>8}  {moment[:23]}  {place}  {one['bytes']:,} bytes  {one['reason']}" + (
        f"  ({said})" if said else ""
    )


def _found[T](look: Callable[[], T]) -> T:
    try:
        return look()
    except ValueError as error:
        raise RuntimeError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


def _again(kept: Any, name: str) -> dict[str, Any] | None:
    """The value as it was refused once more; None if `live` has not done so by now."""
    deadline = time.monotonic() + VERDICT_SECONDS
    while time.monotonic() < deadline:
        kept.take(0.1)
        again = kept.look(name)["again"]
        if again:
            found: dict[str, Any] = kept.look(again)
            return found
    return None


def _record(settings: Settings, name: str, person: str, place: str) -> None:
    """Among the actions of people; a product without Redis has the topic's note alone."""
    from compute.acts import tell
    from compute.bus import Bus, BusError

    if not settings.redis:
        return
    detail = json.dumps({"kept": name, "place": place})
    try:
        tell(Bus(settings.redis), person, "command", "replay", name, detail)
    except BusError as error:
        typer.echo(f"Not among the actions on record: {error}", err=True)
