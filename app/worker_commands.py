"""Key: the commands `./tickglass live, merge, record, workers`, and how many workers `up` runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app import workers as room
from app.settings import PARTITIONS_MAX, Settings, SettingsError, load, running

Data = Annotated[Path | None, typer.Option(help="Folder of record and logs.  [.tickglass]")]
Kafka = Annotated[str | None, typer.Option(help="Kafka, host:port[,host:port].")]
Redis = Annotated[str | None, typer.Option(help="Redis, redis://host:port/database.")]
ClickHouse = Annotated[str | None, typer.Option(help="ClickHouse, http://host:port.")]
Database = Annotated[str | None, typer.Option(help="ClickHouse database of the record.")]
_shared = "workers that share the partitions.  [one that has all, and shares with none]"
Live = Annotated[
    int | None, typer.Option("--live", min=1, max=PARTITIONS_MAX, help=f"Of live: {_shared}")
]
Record = Annotated[
    int | None, typer.Option("--record", min=1, max=PARTITIONS_MAX, help=f"Of record: {_shared}")
]
Number = Annotated[
    int | None,
    typer.Option("--worker", min=0, help="Share the partitions with others, as this number."),
]
Need = Callable[..., None]


def add(cli: typer.Typer, need: Need, run: Callable[[str, Settings, Any], None]) -> None:
    """Add the commands; `need` refuses settings without an address, `run` runs a loop."""
    _add_live(cli, need, run)
    _add_record(cli, need, run)
    cli.command("workers")(workers)


def dealt(settings: Settings) -> Settings:
    """The settings with a partition for each worker; SettingsError where there are fewer."""
    most = max(settings.live, settings.record)
    if "partitions" not in settings.model_fields_set:
        return settings.model_copy(update={"partitions": max(most, settings.partitions)})
    if most > settings.partitions:
        raise SettingsError(
            f"{most} workers cannot share {settings.partitions} partitions: add --partitions {most}"
            " or more, so that there is one for each."
        )
    return settings


def _add_live(cli: typer.Typer, need: Need, run: Callable[[str, Settings, Any], None]) -> None:
    @cli.command()
    def live(
        worker: Number = None, kafka: Kafka = None, redis: Redis = None, data: Data = None
    ) -> None:
        """Turn Kafka's frames into numbers and tell them through Redis."""
        settings = load(kafka=kafka, redis=redis, data=data)
        need(settings, "kafka", "redis")
        from app import loops

        run(f"live.{worker or 0}", settings, lambda: loops.live(settings, worker))

    @cli.command()
    def merge(kafka: Kafka = None, redis: Redis = None, data: Data = None) -> None:
        """Tell what several workers of live tell as the numbers of one."""
        settings = load(kafka=kafka, redis=redis, data=data)
        need(settings, "kafka", "redis")
        from app import loops

        run("merge.0", settings, lambda: loops.merge(settings))


def _add_record(cli: typer.Typer, need: Need, run: Callable[[str, Settings, Any], None]) -> None:
    @cli.command()
    def record(  # noqa: PLR0913 (each argument is an option)
        worker: Number = None,
        kafka: Kafka = None,
        redis: Redis = None,
        clickhouse: ClickHouse = None,
        database: Database = None,
        data: Data = None,
    ) -> None:
        """Put every event of Kafka on the record in ClickHouse, once."""
        given = {"kafka": kafka, "redis": redis, "clickhouse": clickhouse, "database": database}
        settings = load(data=data, **given)
        need(settings, "kafka", "clickhouse", *(["redis"] if worker is not None else []))
        from app import loops

        run(f"record.{worker or 0}", settings, lambda: loops.record(settings, worker))


def workers(live: Live = None, record: Record = None, data: Data = None) -> None:
    """Let the running `up` have more or fewer workers; they share the partitions anew."""
    settings = load(data=data)
    run = running(settings.run_file)
    if not run:
        raise RuntimeError(f"No ./tickglass up runs on the data folder {settings.data}.")
    counts = {name: n for name, n in (("live", live), ("record", record)) if n is not None}
    for group, count in counts.items():
        if not run.get(group):
            raise RuntimeError(
                f"{group} is one process that has all partitions and shares with none. "
                f"Start ./tickglass up with --{group} 1, or more, to add and remove workers."
            )
        if count > run["partitions"]:
            raise RuntimeError(
                f"{count} workers cannot share {run['partitions']} partitions: one each at most."
            )
    room.want(settings.data, counts)
    room.await_workers(settings.run_file, run, counts)
    told = {name: count for name, count in ((g, run.get(g)) for g in room.GROUPS) if count}
    said = ", ".join(f"{count} of {group}" for group, count in (told | counts).items())
    typer.echo(f"Workers: {said or 'one of each, which share with none'}.")
