"""Key: the commands `./tickglass audit verify, export, prove, acts, check, rebuild` and of keys.

What they do is app/verification.py; here are their options alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from app.settings import Settings, load

FAILURE = 1
Data = Annotated[Path | None, typer.Option(help="Folder of record and logs.  [.tickglass]")]
ClickHouse = Annotated[str | None, typer.Option(help="ClickHouse, http://host:port.")]
Database = Annotated[str | None, typer.Option(help="ClickHouse database of the record.")]
Audit = Annotated[
    Path | None, typer.Option("--audit", help="Folder of keys and signed roots.  [DATA/audit]")
]
Copy = Annotated[Path | None, typer.Option(help="An exported record in place of ClickHouse.")]
Recorded = Callable[[str | None, str | None, Path | None], Settings]


def add(audit: typer.Typer, recorded: Recorded) -> None:
    """Add the commands; `recorded` finds the record that is meant."""
    _add_checks(audit, recorded)
    _add_rows(audit, recorded)
    _add_keys(audit)


def _add_checks(audit: typer.Typer, recorded: Recorded) -> None:
    @audit.command("verify")
    def verify(  # noqa: PLR0913 (each argument is an option)
        clickhouse: ClickHouse = None,
        database: Database = None,
        data: Data = None,
        copy: Copy = None,
        audit_folder: Annotated[
            Path | None,
            typer.Option("--audit", help="Folder of keys and roots.  [DATA/audit, or the copy]"),
        ] = None,
        workers: Annotated[int, typer.Option(min=1, help="Partitions at a time.")] = 2,
        afresh: Annotated[bool, typer.Option("--afresh", help="Go on from no former run.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
    ) -> None:
        """Read all of the record again and hold it against its chains, roots and witness.

        Names the first wrong block of each partition. A run that was broken off goes on.
        """
        import json

        from app import verification

        settings = recorded(clickhouse, database, data)
        folder = audit_folder or (None if copy else settings.audit_folder)
        text, found, whole = verification.verify(settings, copy, folder, workers, afresh=afresh)
        typer.echo(json.dumps(found) if as_json else text)
        raise typer.Exit(0 if whole else FAILURE)

    @audit.command("rebuild")
    def rebuild(  # noqa: PLR0913 (each argument is an option)
        clickhouse: ClickHouse = None,
        database: Database = None,
        data: Data = None,
        copy: Copy = None,
        reference: Annotated[
            Path | None, typer.Option(help="Reference rows, a JSON array.  [those kept]")
        ] = None,
        kafka: Annotated[
            str | None,
            typer.Option(help="Replay the log of these brokers in place of the record's rows."),
        ] = None,
    ) -> None:
        """Replay the record's events through a fresh engine; the numbers must be the same.

        With --kafka the log from its beginning; its digests must be those of the record.
        """
        from app import verification

        settings = recorded(clickhouse, database, data)
        if kafka:
            settings = settings.model_copy(update={"kafka": kafka})
            text, same = verification.replay(settings, reference)
        else:
            text, same = verification.rebuild(settings, copy, reference)
        typer.echo(text)
        raise typer.Exit(0 if same else FAILURE)


def _add_rows(audit: typer.Typer, recorded: Recorded) -> None:
    @audit.command("export")
    def export(
        folder: Annotated[Path, typer.Argument(help="A new folder.")],
        clickhouse: ClickHouse = None,
        database: Database = None,
        data: Data = None,
    ) -> None:
        """Write rows, blocks, signed roots and public keys, to be verified anywhere."""
        from app import verification

        typer.echo(verification.export(recorded(clickhouse, database, data), folder))

    @audit.command("prove")
    def prove(  # noqa: PLR0913 (each argument is an option)
        what: Annotated[
            str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET[:INDEX] | screen:WHO@MOMENT")
        ],
        out: Annotated[Path | None, typer.Option(help="File of the proof.")] = None,
        clickhouse: ClickHouse = None,
        database: Database = None,
        data: Data = None,
        copy: Copy = None,
    ) -> None:
        """Print a row, or what a screen showed, and prove it: one file to be checked anywhere.

        WHO is a user or a page, as asof --user prints it; what else the web process of that page
        showed in the same half minute is in the file.
        """
        from app import verification

        settings = recorded(clickhouse, database, data)
        typer.echo(verification.prove(settings, what, copy, out))

    @audit.command("acts")
    def acts(  # noqa: PLR0913 (each argument is an option)
        person: Annotated[str, typer.Option(help="Of this person alone.")] = "",
        action: Annotated[str, typer.Option(help="Of this kind: sign_in, open, export.")] = "",
        last: Annotated[int, typer.Option(min=1, max=1_000_000, help="The newest.")] = 100,
        clickhouse: ClickHouse = None,
        database: Database = None,
        data: Data = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead.")] = False,
    ) -> None:
        """Who did what, when, from where: sign-ins, desks, acknowledgements, what-ifs, exports."""
        import json

        from app import audit as account

        settings = recorded(clickhouse, database, data)
        text, found = account.acts(settings, person, action, last)
        typer.echo(json.dumps(found) if as_json else text)

    @audit.command("check")
    def check(
        file: Annotated[Path, typer.Argument(help="A proof.")],
        key: Annotated[list[str] | None, typer.Option(help="A public key to trust.")] = None,
        audit_folder: Audit = None,
        data: Data = None,
    ) -> None:
        """Check a proof offline: every hash again, and a signature by a key you trust."""
        from app import verification

        settings = load(data=data, audit=audit_folder)
        typer.echo(verification.check(settings, file, key or []))


def _add_keys(audit: typer.Typer) -> None:
    @audit.command("keys")
    def keys(audit_folder: Audit = None, data: Data = None) -> None:
        """Print the public keys of who signs and who witnesses."""
        from app import verification

        typer.echo(verification.key_texts(load(data=data, audit=audit_folder)))

    @audit.command("rotate-key")
    def rotate_key(
        role: Annotated[str, typer.Argument(help="seal or witness.")] = "seal",
        audit_folder: Audit = None,
        data: Data = None,
    ) -> None:
        """Sign with a new key from now on; the old one signs the new one and is forgotten."""
        from app import verification

        typer.echo(verification.rotate(load(data=data, audit=audit_folder), role))
