"""Key: the commands for who writes layouts: `./tickglass check` and `./tickglass glossary`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.settings import ROOT, SettingsError, load

FAILURE = 1
Layouts = Annotated[
    Path | None, typer.Option(help="Folder of layouts of your own, beside the shipped ones.")
]
Dev = Annotated[
    bool, typer.Option("--dev", help="Pages load themselves again when a layout changes.")
]


def add(cli: typer.Typer) -> None:
    """Add the commands."""

    @cli.command()
    def check(
        layouts: Annotated[list[Path] | None, typer.Argument(help="Layouts or folders.")] = None,
        person: Annotated[
            str, typer.Option("--as", help="Somebody's name: whether that person may see it.")
        ] = "",
        access: Annotated[Path | None, typer.Option(help="Access file.")] = None,
    ) -> None:
        """Say what is wrong with layouts, in which line, and what to write instead.

        Without LAYOUTS all of the folder layouts, and of --layouts' where it is set.
        """
        from app.check import BUDGET_CELLS_PER_S, SIZES, everybody
        from app.check import check as check_layout
        from app.check import load as load_of

        folders = load().layout_folders
        allowed = _allowed(person, access) if person else everybody
        wrong = 0
        for layout in _files(layouts or folders):
            found = check_layout(layout, folders, allowed)
            wrong += sum(one.wrong for one in found)
            for one in found:
                typer.echo(str(one))
            if not any(one.wrong for one in found):
                from app.blocks.desk import describe

                share = max(load_of(describe(layout), *size) for size in SIZES)
                typer.echo(f"{layout}: good, {share / BUDGET_CELLS_PER_S:.0%} of the painter")
        raise typer.Exit(FAILURE if wrong else 0)

    @cli.command()
    def glossary(
        out: Annotated[Path, typer.Option(help="The file to write.")] = ROOT / "docs/glossary.md",
    ) -> None:
        """Write the glossary: every column with unit, total and formula, and every block."""
        from app.glossary import text

        out.write_text(text())
        typer.echo(f"{out} is written.")


def _allowed(person: str, access: Path | None) -> Callable[[str, Sequence[str]], str]:
    """What the access file lets that person ask for."""
    from app.people import EVERYBODY, AccessError, read
    from app.rights import RightsError
    from ingest import fund

    settings = load(access=access)
    if settings.access is None:
        raise SettingsError("No access file is named: give --access, or TICKGLASS_ACCESS.")
    try:
        rights = read(settings.access).granted(fund.of(settings.fund))
    except RightsError as error:
        raise AccessError(f"{settings.access}: {error}") from None
    may = rights.get(person) or rights[EVERYBODY]

    def allowed(table: str, columns: Sequence[str]) -> str:
        why = may.lacks(table, columns)
        return f"{person}: {why}" if why else ""

    return allowed


def _files(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SettingsError(f"There is no {path}. Name a layout's file, or a folder of them.")
        found += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return found
