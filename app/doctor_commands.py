"""Key: the command for who runs a deployment: `./tickglass doctor`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.settings import load

FAILURE = 1


def add(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command()
    def doctor(
        *,
        data: Annotated[Path | None, typer.Option(help="Folder of record and logs.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    ) -> None:
        """Look at this deployment and say what to mend; ends with 1 where something is bad.

        Settings, addresses, clocks, permissions, versions. Nothing is changed.
        """
        from app import doctor as room

        found = []
        for finding in room.examine(load(data=data)):
            found.append(finding)
            if not as_json:
                for line in room.lines([finding]):
                    typer.echo(line)
        if as_json:
            typer.echo(json.dumps(room.as_json(found)))
        raise typer.Exit(FAILURE if room.worst(found) == room.BAD else 0)
