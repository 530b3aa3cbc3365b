"""Key: the commands for who may come in: `./tickglass access check, password, key, end`."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from app.settings import SettingsError, load
from ingest.address import shown

File = Annotated[Path | None, typer.Option("--access", help="Access file.")]
InsecureDemo = Annotated[
    bool,
    typer.Option("--insecure-demo", help="Serve other machines too, asking nobody who it is."),
]
access = typer.Typer(no_args_is_help=True, help="Who may come in: people, services, sign-ins.")


def add(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(access, name="access")


@access.command()
def check(file: File = None) -> None:
    """Read the access file and say what it says."""
    from app.people import EVERYBODY, AccessError, read
    from app.rights import RightsError
    from ingest import fund

    settings = load(access=file)
    if settings.access is None:
        raise SettingsError("No access file is named: give --access, or TICKGLASS_ACCESS.")
    found = read(settings.access)
    try:
        rights = found.granted(fund.of(settings.fund))
    except RightsError as error:
        raise AccessError(f"{settings.access}: {error}") from None
    typer.echo(f"{len(found.passwords)} people with passwords: {', '.join(found.passwords)}")
    typer.echo(f"{len(found.keys)} services with keys: {', '.join(found.keys)}")
    typer.echo(f"frames of: {', '.join(found.portals) or 'nobody'}")
    typer.echo(f"a sign-in lasts {found.hours:g} hours unless it is renewed")
    typer.echo(f"the firm's sign-in: {found.oidc.issuer if found.oidc else 'none'}")
    for person, may in sorted(rights.items()):
        who = (
            "everybody" if len(rights) == 1 else "everybody else" if person == EVERYBODY else person
        )
        typer.echo(f"{who} sees {may.words()}")


@access.command()
def password(person: str) -> None:
    """Ask for a person's password and print the line for [passwords] in the access file."""
    from app.people import hashed

    told = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    typer.echo(f'"{person}" = "{hashed(told)}"')


@access.command()
def key(service: str) -> None:
    """Make a service's key: print it, this once, and the line for [keys] in the access file."""
    from app.people import KEY_BYTES, mark_of

    made = secrets.token_urlsafe(KEY_BYTES)
    typer.echo(f"key, for the service alone: {made}")
    typer.echo(f'"{service}" = "{mark_of(made)}"')


@access.command()
def end(
    person: Annotated[str, typer.Argument(help="Who; * is everybody.")],
    file: File = None,
    redis: Annotated[str | None, typer.Option(help="Redis, redis://host:port/database.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of record and logs.")] = None,
) -> None:
    """Sign a person out everywhere: open pages end within seconds."""
    import getpass
    from socket import gethostname

    from app.people import SIGNED_OUT, People
    from compute.acts import tell
    from compute.bus import Bus

    settings = load(access=file, redis=redis, data=data)
    if settings.access is None or not settings.redis:
        raise SettingsError("Name the access file (--access) and Redis (--redis), or start up.")
    bus = Bus(settings.redis)
    People(settings.access, "", bus, settings.data / SIGNED_OUT).sign_out(person)
    if person not in bus.signed_out():
        raise SettingsError(
            f"Redis at {shown(settings.redis)} does not answer: {person} is signed out "
            "on this machine, and elsewhere once Redis is back."
        )
    tell(bus, getpass.getuser(), f"host {gethostname()}", "sign_out", person, "everywhere")
    typer.echo(f"{'Everybody' if person == '*' else person} is signed out everywhere.")
