"""Key: the commands for who runs a deployment: `./tickglass doctor`, `./tickglass supply`."""

import json
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from app.settings import ROOT, load

FAILURE = 1


def add(cli: typer.Typer) -> None:
    """Add the commands."""

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

    @cli.command()
    def supply(
        *,
        out: Annotated[Path, typer.Option(help="File for the bill.")] = Path("sbom.json"),
        audit: Annotated[bool, typer.Option(help="Ask for advisories, too.")] = True,
    ) -> None:
        """Write the bill of materials, and ask whether something is known against a package.

        Ends with 1 where something is, or where nobody could be asked.
        """
        from app import supply as room

        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        out.write_text(room.bill(version) + "\n")
        typer.echo(f"{out}: {len(list(room.packages()))} packages with the hashes of their files.")
        if not audit:
            return
        found = room.advisories()
        for one in found:
            fixed = f"mended in {', '.join(one.fixed)}" if one.fixed else "not mended yet"
            typer.echo(f"{one.package} {one.version}: {one.name}, {fixed}")
        typer.echo(f"{len(found)} advisories against these packages.")
        raise typer.Exit(FAILURE if found else 0)
