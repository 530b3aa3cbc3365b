"""Rule: every setting of the product, and the only place that reads the environment.

A setting is taken from what the command line says, else from the environment as TICKGLASS_<NAME>,
else (addresses only) from the `run.json` that a running `./tickglass up` keeps in its data folder,
else it is the default below. Units stand last in the names.
"""

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ingest.address import parse, shown

ROOT = Path(__file__).parents[1]
PREFIX = "TICKGLASS_"
RUN_FILE = "run.json"
OTHERS = {"HOME", "REQUIRE"}  # What the start script and the tests read besides.
_HOSTS = r"[^\s:/,@?]+:\d+(,[^\s:/,@?]+:\d+)*"
SENTINELS = rf"rediss?\+sentinel://{_HOSTS}/[^\s/]+(/\d+)?"
KAFKA = rf"((ssl|sasl_ssl|sasl_plaintext)://)?{_HOSTS}(\?mechanism=[A-Z0-9-]+)?"

PORT_MAX = 65_535
RATE_MAX = 2_000_000  # What one process of the demo market can make, see ingest/market.py.
PARTITIONS_MAX = 256  # 14 topics x 256 is as many logs as one broker opens without tuning.


class SettingsError(ValueError):
    """A setting that cannot be; the text says which, why and what to do."""


class Settings(BaseSettings):
    """Addresses, folders and sizes. Addresses are "" where none is known."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    data: Path = Field(ROOT / ".tickglass", description="folder of the record, logs and run.json")
    kafka: str = Field(
        "", description="Kafka brokers, host:port[,host:port], or ssl://... or sasl_ssl://user@..."
    )
    redis: str = Field(
        "",
        description="Redis, redis://[:password@]host:port/database, or "
        "redis+sentinel://[:password@]host:port[,host:port]/service[/database]; rediss: encrypted",
    )
    clickhouse: str = Field("", description="ClickHouse, http[s]://[user:password@]host:port")
    database: str = Field("tickglass", description="ClickHouse database that holds the record")
    port: int = Field(5006, ge=1, le=PORT_MAX, description="first web server's port on loopback")
    web: int = Field(1, ge=1, le=64, description="web servers, on ports counted up from `port`")
    rate: float = Field(100_000, gt=0, le=RATE_MAX, description="demo market, events a second")
    seed: int = Field(1, ge=0, description="seed of the demo market")
    partitions: int = Field(1, ge=1, le=PARTITIONS_MAX, description="partitions of each topic")
    live: int = Field(
        0, ge=0, le=PARTITIONS_MAX, description="workers that share `live`; 0: one has it all"
    )
    record: int = Field(
        0, ge=0, le=PARTITIONS_MAX, description="workers that share `record`; 0: one has it all"
    )
    reference: Path | None = Field(None, description="reference rows, CSV or JSON lines")
    fund: Path | None = Field(None, description="books and limits, TOML; the demo fund's if none")
    layouts: Path | None = Field(None, description="folder of layouts of your own")
    dev: bool = Field(False, description="pages load themselves again when their layout changes")
    audit: Path | None = Field(None, description="folder of keys and signed roots; DATA/audit")
    witness: bool = Field(True, description="whether `up` starts a witness of the record")
    tape_hours: int = Field(24, ge=1, le=8_760, description="hours that the tape is kept")
    record_hot_days: int = Field(
        0, ge=0, description="days of the record as it was written, then packed tighter; 0: all"
    )
    record_keep_years: int = Field(
        0, ge=0, le=100, description="years that the record is kept; 0: for ever"
    )
    record_volume: str = Field(
        "", description="storage volume that what is older than `record_hot_days` moves to"
    )
    screens_days: int = Field(30, ge=1, le=3_650, description="days that screens are kept")
    secret: str = Field("", description="what web servers sign with; DATA/web.secret if none")
    origins: str = Field("", description="where pages are served from besides, host:port[,...]")
    listen: str = Field("127.0.0.1", description="address that nginx serves the pages on")
    certificate: Path | None = Field(None, description="of the pages, PEM: they are encrypted")
    certificate_key: Path | None = Field(
        None, validate_default=True, description="its key, PEM, its owner's alone"
    )
    access: Path | None = Field(
        None, description="access file: who may come in; nobody asks if none"
    )
    insecure_demo: bool = Field(
        False, description="serves other machines too without asking who is there"
    )
    fdc3: str = Field("", description="windows that contexts go to and come from, origin[,...]")
    parent: int = Field(0, ge=0, description="process whose end ends this one; 0: none")

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        # Children get the folder too, and may stand elsewhere.
        return data.expanduser().absolute()

    @field_validator("layouts")
    @classmethod
    def _folder(cls, folder: Path | None) -> Path | None:
        found = None if folder is None else folder.expanduser().absolute()
        if found is not None and not found.is_dir():
            raise ValueError("should be a folder that exists")
        return found

    @field_validator("audit")
    @classmethod
    def _absolute_too(cls, folder: Path | None) -> Path | None:
        return folder and folder.expanduser().absolute()

    @field_validator("reference", "fund", "access", "certificate", "certificate_key")
    @classmethod
    def _file(cls, path: Path | None) -> Path | None:
        found = None if path is None else path.expanduser().absolute()
        if found is not None and not found.is_file():
            raise ValueError("should be a file that exists")
        return found

    @field_validator("redis")
    @classmethod
    def _redis_address(cls, url: str) -> str:
        if url and not re.match(r"(rediss?(\+sentinel)?|unix)://.", url):
            raise ValueError("should start with redis://, for example redis://127.0.0.1:6379/0")
        place = parse(url)
        if place.scheme.endswith("+sentinel") and not re.fullmatch(SENTINELS, place.bare):
            raise ValueError("should be redis+sentinel://host:port[,host:port]/service[/database]")
        return url

    @field_validator("clickhouse")
    @classmethod
    def _clickhouse_address(cls, url: str) -> str:
        if url and not re.match(r"https?://.", url):
            raise ValueError("should start with http://, for example http://127.0.0.1:8123")
        if url and (other := parse(url).other):
            raise ValueError(f"should have no {', '.join(other)} behind the question mark")
        return url

    @field_validator("kafka")
    @classmethod
    def _kafka_address(cls, brokers: str) -> str:
        place = parse(brokers)
        if brokers and not re.fullmatch(KAFKA, place.bare):
            raise ValueError(
                "should be host:port[,host:port], with ssl:// or sasl_ssl:// before it"
            )
        if place.user and not place.scheme.startswith("sasl_"):
            raise ValueError("should start with sasl_ssl:// where it names a user")
        return brokers

    @field_validator("listen")
    @classmethod
    def _address(cls, address: str) -> str:
        return str(ipaddress.ip_address(address))

    @field_validator("certificate_key")
    @classmethod
    def _both(cls, key: Path | None, said: ValidationInfo) -> Path | None:
        if (key is None) != (said.data.get("certificate") is None):
            raise ValueError("should be named with TICKGLASS_CERTIFICATE, or neither of them")
        return key

    @field_validator("record_volume")
    @classmethod
    def _volume_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", name):
            raise ValueError("should be letters, digits, _ and -")
        return name

    @field_validator("fdc3")
    @classmethod
    def _origins(cls, origins: str) -> str:
        one = r"https?://[^\s/,*]+"
        if origins and not re.fullmatch(rf"{one}(,{one})*", origins):
            raise ValueError("should be origins such as https://host:port, with commas between")
        return origins

    @field_validator("database")
    @classmethod
    def _database_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
            raise ValueError("should be letters, digits and _, and start with no digit")
        return name

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Fields for `repr` and error texts, without passwords."""
        hidden = {"redis", "clickhouse", "kafka"}
        return [
            (name, shown(value) if name in hidden else value)
            for name, value in super().__repr_args__()
            if name != "secret"
        ]

    @property
    def fronted(self) -> bool:
        """Whether nginx stands before the web servers."""
        return self.web > 1 or self.certificate is not None

    @property
    def audience(self) -> str:
        """To whom pages are served, in a sentence."""
        where = f"on {self.listen}" if self.everywhere else "on this machine alone"
        asked = "who has signed in" if self.access else "whoever comes: nobody is asked who it is"
        return f"Pages are served {where}, to {asked}."

    @property
    def everywhere(self) -> bool:
        """Whether pages are served beyond this machine."""
        return not ipaddress.ip_address(self.listen).is_loopback

    @property
    def run_file(self) -> Path:
        """Where a running `up` writes its addresses."""
        return self.data / RUN_FILE

    @property
    def audit_folder(self) -> Path:
        """Folder of keys and signed roots."""
        return self.audit or self.data / "audit"

    @property
    def layout_folders(self) -> list[Path]:
        """Where layouts stand: the shipped ones, and those of one's own."""
        return [ROOT / "layouts", *([self.layouts] if self.layouts else [])]

    @property
    def logs(self) -> Path:
        """Folder of one log a process, JSON lines."""
        return self.data / "logs"

    def environment(self) -> dict[str, str]:
        """The environment in which a child process reads these very settings."""
        own = {
            PREFIX + name.upper(): str(value)
            for name, value in self.model_dump().items()
            if name in self.model_fields_set or name == "data"
        }
        return {**os.environ, **own}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (not wanted)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (not wanted)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, environment, run.json; no dot files, no secret folders."""
        return init_settings, env_settings, _RunFile(settings_cls)


class _RunFile(PydanticBaseSettingsSource):
    """The addresses of the `up` that runs on the same data folder, if one does."""

    ADDRESSES = ("kafka", "redis", "clickhouse", "database", "partitions", "layouts")

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: `__call__` answers for all fields at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        data = Path(self.current_state.get("data") or Settings.model_fields["data"].default)
        run = running(data.expanduser() / RUN_FILE) or {}
        return {name: run[name] for name in self.ADDRESSES if run.get(name)}


def running(run_file: Path) -> dict[str, Any] | None:
    """What a living `up` wrote there; None where there is none, or its process has ended."""
    try:
        run = json.loads(run_file.read_bytes())
        alive = run["pid"] > 0 and process_mark(run["pid"]) == run["process_mark"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(run) if alive else None


def misspelt(environment: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Variables that look like settings and are none, and the names that may be meant."""
    given = os.environ if environment is None else environment
    known = {name.upper() for name in Settings.model_fields} | OTHERS
    found = []
    for name in sorted(given):
        own = name.removeprefix(PREFIX)
        if own != name and own not in known:
            near = difflib.get_close_matches(own, known, 1)
            found.append((name, PREFIX + near[0] if near else ""))
    return found


def take_environment(environment: Mapping[str, str]) -> None:
    """Make this the environment of this process, in place of all that it had."""
    os.environ.clear()
    os.environ.update(environment)


def last_database(settings: Settings) -> str:
    """The database of the last record under the data folder."""
    try:
        return str(json.loads(settings.run_file.read_bytes())["database"])
    except (OSError, ValueError, KeyError, TypeError):
        return settings.database


def process_mark(pid: int) -> str:
    """What tells this process from a later one of the same number; OSError if there is none."""
    os.kill(pid, 0)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return ""  # Not Linux: the number has to do.
    return stat.rpartition(")")[2].split()[19]  # proc(5): starttime, in ticks since boot


def refuse_secrets(arguments: Iterable[str]) -> None:
    """SettingsError where a word of the command line holds a password: all here may read it."""
    for word in arguments:
        if re.search(r"://[^\s/@]*:\S+@", word):
            raise SettingsError(
                f"{shown(word)}: everybody on this machine can read a command line. Put the "
                "password into a file (...?password_file=FILE), or the address into TICKGLASS_..."
            )


def load(**given: Any) -> Settings:
    """Settings with what the command line gives (None: not given); SettingsError where wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(row, given) for row in error.errors())) from None


def _sentence(row: Any, given: dict[str, Any]) -> str:
    name = str(row["loc"][0]).lower()
    name = name.removeprefix(PREFIX.lower())
    place = f"--{name}" if given.get(name) is not None else PREFIX + name.upper()
    reason = row["msg"].removeprefix("Value error, ").removeprefix("Input ")
    value = shown(str(row["input"]))
    return f"{place} is {value} but {reason} ({_about(name)})."


def _about(name: str) -> str:
    field = Settings.model_fields.get(name)
    return str(field.description) if field else "no such setting"
