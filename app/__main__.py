"""Key: the command line. `python -m app COMMAND`, or `./tickglass COMMAND`.

Each command imports what it needs and nothing more: a web process carries no Numba and no Kafka,
a worker no Panel. What goes wrong is said in one to three lines: what, where, what to do; the
exit code is 2 for a wrong command line and 1 for a failure.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Never

import typer

from app import (
    access_commands,
    audit_commands,
    check_commands,
    doctor_commands,
    quarantine_commands,
    worker_commands,
)
from app.process import Stop, end_with, run, say
from app.settings import PORT_MAX, ROOT, Settings, SettingsError, last_database, load, running

USAGE, FAILURE = 2, 1
EVENTS_PER_S = "events a second"
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
DEVELOPMENT = ("pytest", "playwright")  # Packages that say that development's are here.

cli = typer.Typer(
    name="tickglass",
    help="From the tick to the glass: a real-time trading dashboard.",
    epilog="`./tickglass COMMAND --help` says more. Settings may also come from the environment "
    "as TICKGLASS_<OPTION>.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
standin = typer.Typer(no_args_is_help=True, help="Run one stand-in by itself.")
audit = typer.Typer(no_args_is_help=True, help="Check the record.")
cli.add_typer(standin, name="standin")
cli.add_typer(audit, name="audit")

Data = Annotated[Path | None, typer.Option(help="Folder of record and logs.  [.tickglass]")]
Kafka = Annotated[str | None, typer.Option(help="Kafka, host:port[,host:port].")]
Redis = Annotated[str | None, typer.Option(help="Redis, redis://host:port/database.")]
ClickHouse = Annotated[str | None, typer.Option(help="ClickHouse, http://host:port.")]
Database = Annotated[str | None, typer.Option(help="ClickHouse database of the record.")]
Partitions = Annotated[int | None, typer.Option(help="Partitions of each topic.  [1]")]
Seed = Annotated[int | None, typer.Option(help="Seed of the demo market.  [1]")]
Reference = Annotated[
    Path | None, typer.Option(help="Reference rows, CSV or JSON lines, over those published.")
]
Fund = Annotated[Path | None, typer.Option(help="Books and limits, TOML.  [the demo fund's]")]
Speed = Annotated[float | None, typer.Option(help="Times the recorded speed.  [1]")]
Repeat = Annotated[bool, typer.Option("--loop", help="Begin again at the end of the files.")]
Audit = Annotated[Path | None, typer.Option(help="Folder of keys and signed roots.  [DATA/audit]")]
Paths = list[Path]


def usage(text: str) -> Never:
    """End with a sentence on what is wrong with the command line."""
    raise SettingsError(text)


@cli.callback()
def begin() -> None:
    """Before every command: end with the process that started us, where it asked for that."""
    end_with(load().parent)


@cli.command()
def up(  # noqa: PLR0913 (each argument is an option)
    rate: Annotated[
        float | None,
        typer.Option(help=f"Demo market, or files in place of --speed, {EVENTS_PER_S}.  [100000]"),
    ] = None,
    replay: Annotated[
        Paths | None,
        typer.Option(metavar="PATH...", help="Publish recorded files or folders instead."),
    ] = None,
    more: Annotated[Paths | None, typer.Argument(hidden=True, metavar="")] = None,
    speed: Speed = None,
    loop: Repeat = False,
    port: Annotated[int | None, typer.Option(help="Port of the page.  [5006]")] = None,
    web: Annotated[
        int | None, typer.Option(help="Web servers; 2 or more stand behind nginx.  [1]")
    ] = None,
    data: Data = None,
    partitions: Partitions = None,
    live: worker_commands.Live = None,
    record: worker_commands.Record = None,
    kafka: Kafka = None,
    redis: Redis = None,
    clickhouse: ClickHouse = None,
    seed: Seed = None,
    reference: Reference = None,
    fund: Fund = None,
    layouts: check_commands.Layouts = None,
    dev: check_commands.Dev = False,
    insecure_demo: access_commands.InsecureDemo = False,
) -> None:
    """Start everything on this machine: the demo market or recorded files, and the page.

    Where no address is given, a stand-in is started: no Kafka, Redis or ClickHouse is needed.
    """
    settings = load(
        rate=rate,
        port=port,
        web=web,
        data=data,
        partitions=partitions,
        live=live,
        record=record,
        kafka=kafka,
        redis=redis,
        clickhouse=clickhouse,
        seed=seed,
        reference=reference,
        fund=fund,
        layouts=layouts,
        dev=dev or None,
        insecure_demo=insecure_demo or None,
    )
    settings = worker_commands.dealt(settings)
    _check_fund(settings)
    if more and not replay:
        usage(f"up takes no path such as {more[0]} by itself. Did you mean --replay {more[0]}?")
    paths = tuple(path.absolute() for path in [*(replay or ()), *(more or ())])
    options = _replay_options(bool(paths), rate, speed, loop=loop)
    from app.status import Screen
    from app.up import Plan, Up

    stop = Stop().listen()
    running = Up(settings, Plan(paths, options), Screen())
    signal.signal(signal.SIGHUP, lambda *_: running.restart_web())
    try:
        running.start()
        while not stop.set:
            running.step()
    finally:
        running.close()


def _check_fund(settings: Settings) -> None:
    """Refuse a fund that cannot be before anything starts."""
    from ingest import fund

    if settings.fund:
        try:
            fund.load(settings.fund)
        except fund.FundError as error:
            usage(f"--fund {error}")


def _replay_options(
    files: bool, rate: float | None, speed: float | None, *, loop: bool
) -> tuple[str, ...]:
    if not files and (speed is not None or loop):
        usage("--speed and --loop are for recorded files: add --replay PATH, or give --rate.")
    if rate is not None and speed is not None:
        usage("--rate and --speed exclude each other: events a second, or times recorded speed.")
    if speed is not None and not 0 < speed < float("inf"):
        usage(f"--speed is {speed:g}, but should be above 0: 1 is as recorded, 10 ten times that.")
    chosen = [("--rate", rate), ("--speed", speed)]
    numbers = [word for name, value in chosen if value is not None for word in (name, str(value))]
    return (*numbers, *(["--loop"] if loop else []))


@cli.command()
def replay(  # noqa: PLR0913 (each argument is an option)
    paths: Annotated[Paths | None, typer.Argument(help="Recorded files or folders.")] = None,
    rate: Annotated[
        float | None, typer.Option(help=f"In place of --speed, {EVENTS_PER_S}.")
    ] = None,
    speed: Speed = None,
    loop: Repeat = False,
    seed: Seed = None,
    kafka: Kafka = None,
    redis: Redis = None,
    data: Data = None,
    reference: Reference = None,
    after: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Publish recorded files through Kafka, or, without PATHS, the demo market."""
    settings = load(rate=rate, seed=seed, kafka=kafka, redis=redis, data=data, reference=reference)
    _need(settings, "kafka")
    _replay_options(bool(paths), rate, speed, loop=loop)
    from app import publish

    order = publish.Order(tuple(paths or ()), rate, speed or 1.0, loop=loop, after=after)
    _run("replay.0", settings, lambda: publish.publication(settings, order))


@cli.command()
def risk(kafka: Kafka = None, redis: Redis = None, data: Data = None) -> None:
    """Turn live's numbers into Greeks, exposure and risk, and tell them through Redis."""
    settings = load(kafka=kafka, redis=redis, data=data)
    _need(settings, "kafka", "redis")
    from app import loops

    _run("risk.0", settings, lambda: loops.risk(settings))


@cli.command()
def tape(
    redis: Redis = None,
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
) -> None:
    """Put what workers tell and what pages show on the tape in ClickHouse."""
    settings = load(redis=redis, clickhouse=clickhouse, database=database, data=data)
    _need(settings, "redis", "clickhouse")
    from app import loops

    _run("tape.0", settings, lambda: loops.tape(settings))


@cli.command()
def seal(  # noqa: PLR0913 (each argument is an option)
    kafka: Kafka = None,
    redis: Redis = None,
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
    audit: Audit = None,
) -> None:
    """Sign a root over the chains of the record once a minute."""
    given = {"kafka": kafka, "redis": redis, "clickhouse": clickhouse, "database": database}
    settings = load(data=data, audit=audit, **given)
    _need(settings, "clickhouse")
    from app import sealing

    _run("seal.0", settings, lambda: sealing.sealer(settings))


@cli.command()
def witness(  # noqa: PLR0913 (each argument is an option)
    kafka: Kafka = None,
    redis: Redis = None,
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
    audit: Audit = None,
) -> None:
    """Read the record again and countersign the roots that its rows bear out."""
    given = {"kafka": kafka, "redis": redis, "clickhouse": clickhouse, "database": database}
    settings = load(data=data, audit=audit, **given)
    _need(settings, "clickhouse")
    from app import sealing

    _run("witness.0", settings, lambda: sealing.watcher(settings))


@cli.command()
def web(
    port: Annotated[int | None, typer.Option(help="Port of the page.  [5006]")] = None,
    redis: Redis = None,
    clickhouse: ClickHouse = None,
    data: Data = None,
) -> None:
    """Serve the desks to browsers on this machine."""
    settings = load(port=port, redis=redis, clickhouse=clickhouse, data=data)
    _need(settings, "redis")
    from app import aside, probe

    problem = probe.port(settings.port)
    if problem:
        raise RuntimeError(problem)
    aside.step_aside(load(), settings.port)
    from app import runtime

    runtime.serve(settings)


@cli.command(hidden=True)
def front(
    port: Annotated[int | None, typer.Option(help="Port of the page.  [5006]")] = None,
    web: Annotated[int | None, typer.Option(help="Web servers behind it.")] = None,
    data: Data = None,
) -> None:
    """Stand before several web servers: nginx, with DATA/nginx as its folder."""
    settings = load(port=port, web=web, data=data)
    from app import front as room

    room.become(settings, settings.data / "nginx")


@cli.command()
def restart(
    what: Annotated[str, typer.Argument(help="web: all web servers, one after the other.")],
    data: Data = None,
) -> None:
    """Start the web servers of the running `up` anew; no page notices more than a short gap."""
    if what != "web":
        usage(f"restart knows web, not {what!r}.")
    settings = load(data=data)
    run = running(settings.run_file)
    if not run:
        raise RuntimeError(f"No ./tickglass up runs on the data folder {settings.data}.")
    from app.rolling import await_restart

    os.kill(run["pid"], signal.SIGHUP)
    await_restart(settings.run_file, run)
    typer.echo("All web servers have been started anew.")


@cli.command()
def asof(  # noqa: PLR0913 (each argument is an option)
    moment: Annotated[str, typer.Argument(help="14:03:02.113, 2026-11-22T14:03:02.113 or -90s.")],
    desk: Annotated[str, typer.Option(help="Which desk to open.")] = "overview",
    play: Annotated[
        float | None, typer.Option("--speed", help="Play on from there, times as fast.")
    ] = None,
    user: Annotated[str, typer.Option(help="Say what this user's pages showed instead.")] = "",
    session: Annotated[str, typer.Option(help="The same for one page by its name.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON list.")] = False,
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
) -> None:
    """Show a desk as it was; or, with --user or --session, what a screen showed, cell by cell.

    UTC where no zone is said. The desk needs a running web server, the screens only the record.
    """
    from app import moment as moments
    from ingest import clock

    try:
        ts = moments.parse(moment, clock.now_ns())
    except moments.MomentError as error:
        usage(str(error))
    if user or session:
        _screens(_recorded(clickhouse, database, data), ts, user, session, as_json=as_json)
        return
    settings = load(data=data)
    run = running(settings.run_file) or {}
    page = str(run.get("page") or f"http://127.0.0.1:{settings.port}/overview")
    speed = f"&speed={play:g}&play=1" if play else ""
    typer.echo(f"{page.rpartition('/')[0]}/{desk}?asof={moments.show(ts)}{speed}")


def _screens(settings: Settings, ts: int, user: str, session: str, *, as_json: bool) -> None:
    import json

    from app import recall
    from app.audit import archive_of
    from compute.screen import NotOnRecordError

    with archive_of(settings) as archive:
        try:
            found = recall.screens(archive, ts, user, session)
        except NotOnRecordError as error:
            raise RuntimeError(f"Not on record: {error}.") from None
        names = recall.symbols(archive, ts)
        screens = [recall.plain(page, shown, names) for page, shown in found]
    if as_json:
        typer.echo(json.dumps(screens))
        return
    for one in screens:
        recall.print_screen(one)


@cli.command("fork-server", hidden=True)
def fork_server(data: Data = None) -> None:
    """Hold ready what workers need, and fork them for `up`."""
    from app import fork_server as room

    stop = Stop().listen()
    room.load(load(data=data).data)
    if room.serve(stop) is not None:
        main()  # In the forked process, whose command line is the order's by now.


@cli.command("trace")
def trace_frame(
    frame: Annotated[str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET[:INDEX]")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
) -> None:
    """Follow one frame from Kafka to glass: when it was made, told, recorded, pushed, painted."""
    from app import tracing

    typer.echo(tracing.way(_recorded(clickhouse, database, data), frame, as_json=as_json))


Announce = Annotated[Path | None, typer.Option(help="Also write the address to this file.")]
Port = Annotated[int, typer.Option(min=0, max=PORT_MAX, help="Port; 0: any free one.")]


@standin.command("kafka")
def standin_kafka(partitions: Partitions = None, announce: Announce = None) -> None:
    """Kafka's stand-in: one broker of Kafka's protocol; its log ends with the process."""
    from app import standins

    settings = load(partitions=partitions)
    ready = _announcer(announce)
    standins.serve_kafka(settings.partitions, ready, Stop().listen(), folder=settings.data)


@standin.command("redis")
def standin_redis(port: Port = 0, announce: Announce = None) -> None:
    """Redis's stand-in: a Valkey server that keeps nothing on disk."""
    from app import standins

    port = port or standins.free_port()
    _announcer(announce)(f"redis://{standins.LOOPBACK}:{port}/0")
    standins.become_redis(port)


@standin.command("clickhouse")
def standin_clickhouse(port: Port = 0, data: Data = None, announce: Announce = None) -> None:
    """ClickHouse's stand-in: chDB behind ClickHouse's HTTP interface; DATA/clickhouse."""
    from app import chdb_http, standins

    ready = _announcer(announce)
    folder = load(data=data).data / "clickhouse"
    chdb_http.serve(folder, port, lambda found: ready(f"http://{standins.LOOPBACK}:{found}"))


@audit.command("count")
def audit_count(
    clickhouse: ClickHouse = None, database: Database = None, data: Data = None
) -> None:
    """Per partition: rows = last - first + 1 = distinct; names every hole and double.

    Without an address it reads the record that is running, else the last one under --data.
    """
    from app.audit import count

    text, whole = count(_recorded(clickhouse, database, data))
    typer.echo(text)
    raise typer.Exit(0 if whole else FAILURE)


@audit.command("alerts")
def audit_alerts(
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
) -> None:
    """Every alert on record: when, which limit, how late it was, and who acknowledged it.

    Also checks the chain of hashes over the messages.
    """
    import json

    from app.audit import alerts

    text, found, whole = alerts(_recorded(clickhouse, database, data))
    typer.echo(json.dumps(found) if as_json else text)
    raise typer.Exit(0 if whole else FAILURE)


def _recorded(clickhouse: str | None, database: str | None, data: Path | None) -> Settings:
    settings = load(clickhouse=clickhouse, database=database, data=data)
    if not settings.clickhouse and not database:
        return settings.model_copy(update={"database": last_database(settings)})
    return settings


audit_commands.add(audit, _recorded)
check_commands.add(cli)
doctor_commands.add(cli)
access_commands.add(cli)


@cli.command()
def export(  # noqa: PLR0913 (each argument is an option)
    table: Annotated[str, typer.Argument(help="A table or view of the record.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    since: Annotated[str | None, typer.Option("--from", help="From this moment on, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Up to this moment, UTC.")] = None,
    instrument: Annotated[int | None, typer.Option(help="Of this one alone, its id.")] = None,
    clickhouse: ClickHouse = None,
    database: Database = None,
    data: Data = None,
) -> None:
    """Write a table or view of the record to a file that says what it is of.

    The file names database, chain heads and the newest signed root.
    """
    from app import export as room
    from compute.export import Order

    order = Order(table, form, room.moment_ns(since), room.moment_ns(until), instrument)
    typer.echo(room.export(_recorded(clickhouse, database, data), order, out))


@cli.command(context_settings=PASSED_ON)
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which promise: one of the files in bench/.")],
) -> None:
    """Measure one promise; with --json one JSON object stands on the last line."""
    files = sorted((ROOT / "bench").glob("*.py"))
    names = [file.stem for file in files if '__name__ == "__main__"' in file.read_text()]
    if name not in names:
        usage(f"There is no bench {name!r}. There are: {', '.join(names)}.")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", f"bench.{name}", *context.args])


@cli.command(context_settings=PASSED_ON)
def test(context: typer.Context) -> None:
    """Run the tests; what follows goes to pytest."""
    _become_module("test", "tests.suite", *context.args)


@cli.command(context_settings={**PASSED_ON, "help_option_names": []})
def storm(context: typer.Context) -> None:
    """Do harm to everything for --minutes, drawn from --seed, and check what must hold."""
    _become_module("storm", "tests.storms.everything", *context.args)


def _become_module(command: str, *words: str) -> Never:
    """Go on as a module that needs what development needs."""
    import importlib.util

    missing = [name for name in DEVELOPMENT if importlib.util.find_spec(name) is None]
    if missing:
        packages = " and ".join(missing)
        raise RuntimeError(f"No {packages} in {sys.prefix}: ./tickglass {command} installs them.")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", *words])


def _need(settings: Settings, *names: str) -> None:
    for name in names:
        if not getattr(settings, name):
            usage(
                f"No {name.capitalize()} address is known. Start ./tickglass up on this machine "
                f"(data folder {settings.data}), or give --{name}."
            )


def _run(role: str, settings: Settings, make: Any) -> Never:
    """Run a loop whose heart is heard, where there is a Redis to hear it."""
    if not settings.redis:
        raise typer.Exit(run(make, idle_seconds=0))
    from app.heartbeat import Heartbeat
    from compute.bus import Bus

    with Heartbeat(role, Bus(settings.redis)) as heart:
        heart.failed = True  # Unless it ends by itself or by a signal.
        code = run(lambda: heart.around(make), idle_seconds=0)
        heart.failed = code != 0
    raise typer.Exit(code)


worker_commands.add(cli, _need, _run)
quarantine_commands.add(cli, _need)


def _announcer(file: Path | None) -> Any:
    def announce(address: str) -> None:
        if file:
            draft = file.with_name(file.name + ".draft")  # A reader never sees half an address.
            draft.write_text(address)
            draft.replace(file)
        print(f"ready {address}", flush=True)  # noqa: T201 (for whoever started it by hand)

    return announce


def main() -> None:
    """The whole command line, with every error turned into a sentence."""
    from app.settings import refuse_secrets

    try:
        refuse_secrets(sys.argv)
        cli(prog_name="./tickglass")
    except SettingsError as error:
        _end(str(error), USAGE)
    except RuntimeError as error:  # A door's, with a sentence that says what to do.
        _end(str(error), FAILURE)
    except KeyboardInterrupt:
        _end("Ended.", 128 + 2)
    except Exception as error:
        say("crashed", error=error)
        raise SystemExit(FAILURE) from None


def _end(text: str, code: int) -> Never:
    print(text, file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


if __name__ == "__main__":
    main()
