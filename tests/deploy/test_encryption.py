"""Encrypted wires to real servers, with an authority of the test's own: Kafka, Redis, ClickHouse.

Each lets nobody in who shows no certificate or password, and is believed only with its authority.
"""

import asyncio
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app import doctor, probe, standins
from app.settings import load
from compute.archive import Archive, ArchiveError
from compute.bus import AsyncBus, Bus, BusError
from ingest.source import Publisher, SourceError, let_in, spreads
from tests.certificates import Authority
from tests.clickhouse import ClickHouse
from tests.kafka import Kafka
from tests.web import until

MARKER = "pass@w/ord:marker-8f2c"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encryption")
    made = Authority(folder)
    made.server, made.client = made.issue("server"), made.issue("client")
    made.secret = folder / "secret"
    made.secret.write_text(MARKER + "\n")
    made.files = f"?ca={made.ca}"
    made.mutual = f"{made.files}&certificate={made.client[0]}&key={made.client[1]}"
    made.known = f"{made.files}&password_file={made.secret}"
    return made


@contextmanager
def encrypted(world, port):
    """A door before that port of loopback that wants a certificate of the authority; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(world.ca))
    context.load_cert_chain(*world.server)
    context.verify_mode = ssl.CERT_REQUIRED
    loop, ready = asyncio.new_event_loop(), []
    loop.set_exception_handler(lambda *_: None)  # Who is refused is what the test is about.

    async def pump(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def relay(reader, writer):
        inner = await asyncio.open_connection("127.0.0.1", port)
        pumps = pump(reader, inner[1]), pump(inner[0], writer)
        await asyncio.gather(*pumps, return_exceptions=True)

    async def serve():
        server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
        ready.extend((server.sockets[0].getsockname()[1], server))

    async def end():
        ready[1].close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop).result(60)
    try:
        yield ready[0]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


def test_clickhouse_by_https_with_its_authority_and_our_certificate(world, tmp_path):
    server = ClickHouse(tmp_path).start()
    try:
        with encrypted(world, server.port) as port:
            address = f"https://localhost:{port}{world.mutual}"
            assert probe.clickhouse(address) == ""
            archive = Archive(address)
            archive.prepare()
            assert archive.rows("SELECT 1") == [(1,)]
            archive.close()
            for files in (world.files, ""):  # No certificate; an authority that nobody knows.
                with pytest.raises(ArchiveError):
                    Archive(f"https://localhost:{port}{files}", answer_s=5).rows("SELECT 1")
                assert probe.clickhouse(f"https://localhost:{port}{files}")
    finally:
        server.kill()


def test_redis_by_rediss_with_a_user_whose_password_is_in_a_file(world, require, tmp_path, in_loop):
    port, certificate, key = standins.free_port(), *world.server
    users = tmp_path / "users.acl"
    users.write_text(f"user default off\nuser live on >{MARKER} ~tickglass:* +@all\n")
    options = {
        "port": 0,
        "tls-port": port,
        "tls-cert-file": certificate,
        "tls-key-file": key,
        "tls-ca-cert-file": world.ca,
        "tls-auth-clients": "no",
        "aclfile": users,
        "save": "",
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([require("redis"), *words], stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        until(lambda: probe.listening(port), 60)
        address = f"rediss://live@localhost:{port}/0{world.known}"
        assert MARKER not in repr(load(redis=address))
        bus = Bus(load(redis=address).redis)
        bus.set_names(b"{}")
        bus.close()

        async def names():
            other = AsyncBus(address)
            try:
                return await other.names()
            finally:
                await other.close()

        assert in_loop(names()) == b"{}"
        for wrong in (
            f"rediss://live@localhost:{port}/0?password_file={world.secret}",
            f"rediss://live:x@localhost:{port}/0{world.files}",
        ):
            with pytest.raises(BusError, match="Redis at rediss://"):
                Bus(wrong).ping()
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.requires("kafka")
def test_kafka_by_certificate_and_by_password(world, tmp_path):
    cluster, mutual, known = Kafka(tmp_path), standins.free_port(), standins.free_port()
    (tmp_path / "store.pem").write_bytes(b"".join(one.read_bytes() for one in world.server[::-1]))
    places = f"PLAINTEXT://127.0.0.1:{cluster.port},SSL://localhost:{mutual}"
    places += f",SASL_SSL://localhost:{known}"
    kinds = ",".join(f"{one}:{one}" for one in ("PLAINTEXT", "SSL", "SASL_SSL"))
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    lines = {
        "listeners": f"{places},CONTROLLER://127.0.0.1:{cluster.port + 1}",
        "advertised.listeners": places,
        "listener.security.protocol.map": f"{kinds},CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": tmp_path / "store.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": world.ca,
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{scram} required;",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{plain} required user_live="{MARKER}";',
    }
    own = tmp_path / "own.properties"
    own.write_text("\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
    try:
        cluster.start("--properties", own)
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{cluster.port}"})
        kept = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion("live", kept, MARKER.encode())
        admin.alter_user_scram_credentials([user])["live"].result(60)
        allowed = (
            f"ssl://localhost:{mutual}{world.mutual}",
            f"sasl_ssl://live@localhost:{known}{world.known}&mechanism=PLAIN",
            f"sasl_ssl://live@localhost:{known}{world.known}",  # As deploy/roles.md says it.
        )
        for number, given in enumerate(allowed):
            address = load(kafka=given).kafka
            assert probe.kafka(address) == ""
            standins.make_topics(address, 1)
            publisher = Publisher(address)
            publisher.publish("fills", 0, b"x")
            assert publisher.flush(60) == 0, number
            assert spreads(address)["fills"].partitions == 1
        wrong = (
            f"ssl://localhost:{mutual}{world.files}",
            f"sasl_ssl://live:x@localhost:{known}{world.files}&mechanism=PLAIN",
            f"sasl_ssl://live:wr0ng-secret@localhost:{known}{world.files}",
            f"sasl_ssl://strange@localhost:{known}{world.known}",
        )
        with ThreadPoolExecutor(len(wrong)) as pool:  # Until the client's patience ends.
            asked = [pool.submit(spreads, one) for one in wrong]
            refused = [one.exception() for one in asked]
        assert all(isinstance(error, SourceError) for error in refused), refused
        for error in refused[2:]:
            assert "SASL authentication error: Authentication failed" in str(error)
            assert "SCRAM-SHA-512" in str(error)
        told = [one for one in doctor.examine(load(kafka=wrong[2])) if one.subject == "kafka"]
        assert [one.level for one in told if "Authentication failed" in one.text] == [doctor.BAD]
        assert "wr0ng" not in str((refused, told))
        fine = [one for one in doctor.examine(load(kafka=allowed[2])) if one.subject == "Kafka"]
        assert doctor.GOOD in [one.level for one in fine], fine
    finally:
        cluster.close()


def test_what_an_address_names_must_be_there_and_is_said_without_the_secret(world):
    gone = f"sasl_ssl://live:{MARKER}@localhost:1?ca=/no/such/file"
    with pytest.raises(SourceError, match="ca=/no/such/file is none") as error:
        let_in(gone)
    assert "marker" not in str(error.value)
