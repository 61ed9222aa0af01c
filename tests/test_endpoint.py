"""The endpoint: a small server that outlives slow, hostile and many clients, and listens where it was told to."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from cli_setting import Running, configure
from simulation import PATIENCE, until

from tracker.daemon.health.endpoint import LONGEST_HEAD, Endpoint, Page
from tracker.errors import ConfigurationFault
from tracker.settings import Address, load, shown

ANY = Address("127.0.0.1", 0)


def hello(path: str) -> Page:
    return Page(HTTPStatus.OK, f"hello {path}".encode())


@contextmanager
def serving(
    answer: Callable[[str], Page] = hello, seconds: float = PATIENCE, most: int = 16, address: Address = ANY
) -> Iterator[Endpoint]:
    endpoint = Endpoint(address, answer, seconds=seconds, most=most)
    try:
        yield endpoint
    finally:
        endpoint.close()


def get(endpoint: Endpoint, path: str = "/x", method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"http://127.0.0.1:{endpoint.port}{path}", trust_env=False, timeout=PATIENCE)


def connected(endpoint: Endpoint, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", endpoint.port), timeout=PATIENCE)
    connection.sendall(data)
    return connection


def answered(endpoint: Endpoint, data: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    told = b""
    with connected(endpoint, data) as connection:
        while piece := connection.recv(4096):
            told += piece
    return told


def test_a_path_is_answered_without_its_query_and_the_connection_closed() -> None:
    with serving() as endpoint:
        reply = get(endpoint, "/metrics?name[]=up")
        assert (reply.status_code, reply.text) == (200, "hello /metrics")
        assert reply.headers["connection"] == "close"
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        head = get(endpoint, method="HEAD")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "8")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", 405),
        (b"GET x HTTP/1.1\r\n\r\n", 400),
        (b"GET / SPDY/9\r\n\r\n", 400),
        (b"\x16\x03\x01 hello over TLS \r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * (LONGEST_HEAD + 1), 400),
    ],
)
def test_what_is_no_plain_get_is_refused(request_: bytes, status: int) -> None:
    with serving() as endpoint:
        assert answered(endpoint, request_).startswith(f"HTTP/1.1 {status} ".encode())
        assert get(endpoint).status_code == 200


def test_a_page_that_crashes_is_told_and_the_next_one_answered() -> None:
    def answer(path: str) -> Page:
        if path == "/crash":
            raise RuntimeError("k3y")
        return hello(path)

    with serving(answer) as endpoint:
        reply = get(endpoint, "/crash")
        assert (reply.status_code, reply.text) == (500, "This page failed; see the log.\n")
        assert get(endpoint).status_code == 200


def test_a_client_that_says_nothing_or_drips_is_cut_off_at_the_deadline() -> None:
    with serving(seconds=0.3) as endpoint, connected(endpoint) as silent, connected(endpoint, b"GET") as dripping:
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.02):
                try:
                    dripping.sendall(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        assert silent.recv(100) == b""
        with suppress(ConnectionResetError):  # closed with a drop unread
            assert dripping.recv(100) == b""
        over.set()
        thread.join()


def test_a_client_that_does_not_read_is_cut_off_and_delays_nobody() -> None:
    large = Page(HTTPStatus.OK, b"x" * 50_000_000)
    with (
        serving(lambda path: large if path == "/large" else hello(path), seconds=0.5) as endpoint,
        connected(endpoint, b"GET /large HTTP/1.1\r\n\r\n"),
    ):
        assert get(endpoint).status_code == 200
        until(lambda: not endpoint._open, "the connection was cut off")


def test_more_clients_than_there_is_room_for_are_turned_away_until_some_leave() -> None:
    with serving(most=3) as endpoint:
        held = [connected(endpoint) for _ in range(3)]
        until(lambda: len(endpoint._open) == 3, "three connections")
        assert get(endpoint).status_code == 503
        held.pop().close()
        until(lambda: len(endpoint._open) == 2, "one has left")
        assert get(endpoint).status_code == 200
        for one in held:
            one.close()


def test_a_close_does_not_wait_for_connections_that_are_open() -> None:
    with serving(seconds=3600) as endpoint:
        with connected(endpoint, b"GET / HT") as one:
            until(lambda: len(endpoint._open) == 1, "the connection")
            endpoint.close()
            assert one.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            connected(endpoint)


def test_it_listens_at_its_address_and_at_no_other() -> None:
    with serving() as endpoint:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", endpoint.port), timeout=5)
        assert get(endpoint).status_code == 200


def test_it_listens_at_an_address_of_ipv6() -> None:
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"there is no IPv6 loopback here: {error}")
    probe.close()
    with serving(address=Address("::1", 0)) as endpoint:
        assert httpx.get(f"http://[::1]:{endpoint.port}/", trust_env=False).text == "hello /"


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_an_address_that_cannot_be_had_is_a_fault_that_names_the_setting(host: str) -> None:
    with serving() as endpoint, pytest.raises(ConfigurationFault) as caught:
        Endpoint(Address(host, endpoint.port), hello)
    assert str(caught.value).startswith(f'listen = "{host}:{endpoint.port}": cannot listen there: ')


# The setting


def configured(folder: Path, listen: str) -> Path:
    return configure(
        folder, {"acme": "http://127.0.0.1:9/"}, f"sqlite:///{folder}/t.db", more=f"listen = {listen}"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"127.0.0.1:9470"', "127.0.0.1:9470"),
        ('"localhost:80"', "127.0.0.1:80"),
        ('"[::1]:9470"', "[::1]:9470"),
    ],
)
def test_an_address_of_this_machine_is_taken(tmp_path: Path, written: str, meant: str) -> None:
    settings = load(configured(tmp_path, written), {})
    assert str(settings.listen) == meant == shown(settings)["listen"]
    assert settings.warnings == ()


def test_an_address_that_others_reach_is_taken_with_a_warning(tmp_path: Path) -> None:
    for written in ('"0.0.0.0:9470"', '"10.1.2.3:9470"', '"[::]:9470"'):
        settings = load(configured(tmp_path, written), {})
        assert len([each for each in settings.warnings if each.startswith("listen: ")]) == 1


@pytest.mark.parametrize(
    "written", ['":9470"', '"9470"', "9470", '"example.org:9470"', '"::1:9470"', '"127.0.0.1:0"', '"127.0.0.1:x"']
)
def test_what_is_no_address_is_refused_with_the_line_to_write(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load(configured(tmp_path, written), {})
    assert 'write: listen = "127.0.0.1:9470"' in str(caught.value)
    assert "listen: must " in str(caught.value)


# The process


def test_a_port_that_is_taken_ends_the_start_with_the_code_for_the_configuration(tmp_path: Path) -> None:
    with serving() as endpoint, Running(configured(tmp_path, f'"127.0.0.1:{endpoint.port}"')) as running:
        assert running.ended() == 78
        assert running.lines("daemon.failed")[0]["error"].startswith('listen = "127.0.0.1:')


def test_a_reload_with_another_address_keeps_the_old_one_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = configured(tmp_path, f'"127.0.0.1:{port}"')
    with Running(config) as running:
        running.until("daemon.started")
        config.write_text(config.read_text().replace(f":{port}", ":9"))
        running.signal(signal.SIGHUP)
        running.until("configuration.listen_kept")
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
        running.signal()
        assert running.ended() == 0
