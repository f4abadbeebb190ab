"""The command in a process of its own, under load from this one: nothing accepted is lost."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.cli import main
from metier.errors import OptionError
from metier.serving.auth import Door
from metier.serving.launch import announce, listen
from metier.serving.options import Serving, read_options
from tests.serving.conftest import BARE, METIER, ask, command, eventually

ROW = {"size": 3.0, "colour": "blue"}


@dataclass
class Told:
    """What clients saw: seconds by status, and what ended otherwise."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    wrong: int = 0

    @property
    def answered(self) -> list[float]:
        return self.seconds.get(200, [])


async def press(port: int, clients: int, until: Callable[[], bool], rows: int = 1) -> Told:
    """Ask from many connections at once, each again as soon as it has its answer."""
    told = Told()
    await asyncio.gather(*(_client(port, until, rows, told) for _ in range(clients)))
    return told


async def _client(port: int, until: Callable[[], bool], rows: int, told: Told) -> None:
    body = json.dumps({"rows": [ROW] * rows}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not until():
        began = time.perf_counter()
        try:
            writer.write(head + body)
            await writer.drain()
            status, closes, content = await _answer(reader)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            told.broken.append(repr(error))
            break
        told.seconds.setdefault(status, []).append(time.perf_counter() - began)
        told.wrong += status == 200 and len(json.loads(content)["predictions"]) != rows
        if closes:
            break
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = int(re.findall(r"content-length: (\d+)", head)[0])
    content = await reader.readexactly(size)
    return int(head.split()[1]), "connection: close" in head, content


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def p99(seconds: list[float]) -> float:
    return float(np.quantile(seconds, 0.99))


def test_overloaded_it_refuses_some_at_once_and_answers_the_others_in_time(
    written: Callable[[str], Path],
) -> None:
    words = ("--queue", "16", "--max-rows", "8", "--latency", "100", "--threads", "1")
    with command(written("slow"), *words) as server:
        told = asyncio.run(press(server.port, 48, after(3)))
        assert ask(server.port, "/health").status == 200
        metrics = ask(server.port, "/metrics").content.decode()
    assert set(told.seconds) == {200, 503} and not told.broken and told.wrong == 0
    assert len(told.answered) > 20
    # 16 rows wait and one batch runs: far below what an endless queue of 48 clients would take.
    assert p99(told.answered) < 3 and p99(told.seconds[503]) < 3
    counted = re.search(r'requests_total\{route="/predict",status="200"\} (\d+)', metrics)
    assert counted is not None and int(counted[1]) == len(told.answered)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_no_answer(written: Callable[[str], Path], workers: int) -> None:
    words = ("--threads", "1", "--workers", str(workers), "--timeout", "20")
    with command(written("slow"), *words) as server:
        timer = threading.Timer(1.0, server.process.send_signal, [signal.SIGTERM])
        timer.start()
        told = asyncio.run(press(server.port, 12, after(30), rows=4))
        assert server.process.wait(30) == 0
        assert server.process.stderr is not None and server.process.stderr.read() == ""
    # Every connection was closed with an answer that said so; none was cut.
    assert not told.broken and set(told.seconds) <= {200, 503} and told.wrong == 0
    assert len(told.answered) > 12 and p99(told.answered) < 5
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_requests_on_their_way_in_are_answered_after_sigterm(
    written: Callable[[str], Path],
) -> None:
    with command(written("table")) as server:
        body = json.dumps({"rows": [ROW]})
        waiting = http.client.HTTPConnection("127.0.0.1", server.port)
        waiting.putrequest("POST", "/predict")
        waiting.putheader("Content-Type", "application/json")
        waiting.putheader("Content-Length", str(len(body)))
        waiting.endheaders()
        assert eventually(lambda: ask(server.port, "/health").status == 200)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        waiting.send(body.encode())
        found = waiting.getresponse()
        assert found.status == 200 and len(json.loads(found.read())["predictions"]) == 1
        assert server.process.wait(10) == 0


def test_workers_share_the_counters_and_are_replaced(written: Callable[[str], Path]) -> None:
    with command(written("table"), "--workers", "2", "--threads", "1") as server:
        children = _children(server.process.pid)
        assert len(children) == 2
        for _ in range(20):
            assert ask(server.port, "/predict", {"rows": [ROW]}).status == 200
        told = ask(server.port, "/metrics").content.decode()
        assert re.search(r'requests_total\{route="/predict",status="200"\} 20\.0', told)
        time.sleep(max(0.0, 10.5 - _age(children[0])))
        os.kill(children[0], signal.SIGKILL)
        assert eventually(lambda: len(set(_children(server.process.pid)) - {children[0]}) == 2, 30)
        answers = Counter(ask(server.port, "/predict", {"rows": [ROW]}).status for _ in range(20))
        assert answers == {200: 20}
        orphans = _children(server.process.pid)
        server.process.kill()
        assert eventually(lambda: not any(_alive(pid) for pid in orphans), 20)


def test_workers_that_die_at_once_end_the_server_with_a_fault(
    written: Callable[[str], Path],
) -> None:
    with command(written("table"), "--workers", "2", "--threads", "1") as server:
        os.kill(_children(server.process.pid)[0], signal.SIGKILL)
        assert server.process.wait(60) == 1


def _children(pid: int) -> list[int]:
    if not Path("/proc").is_dir():
        pytest.skip("reads /proc to find the workers")
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in listed.split()]


def _age(pid: int) -> float:
    return time.time() - Path(f"/proc/{pid}").stat().st_ctime


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("name", ["text", "table", "image"])
def test_neither_torch_nor_frames_are_needed(written: Callable[[str], Path], name: str) -> None:
    with command(written(name), script=BARE) as server:
        assert ask(server.port, "/metadata").status == 200
        if name == "table":
            assert ask(server.port, "/predict", {"rows": [ROW]}).status == 200


def test_the_token_of_the_environment_counts(written: Callable[[str], Path]) -> None:
    with command(written("table"), environment={"METIER_TOKEN": "s3cret"}) as server:
        assert ask(server.port, "/metadata").status == 401
        right = {"Authorization": "Bearer s3cret"}
        assert ask(server.port, "/metadata", headers=right).status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path, workers: str) -> None:
    words = ["serve", str(tmp_path), "--port", "0", "--workers", workers]
    done = subprocess.run(
        [sys.executable, "-c", METIER, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error:") and done.stderr.count("\n") == 1


def test_an_address_in_use_is_refused_with_the_mend() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OptionError) as refused:
        listen("127.0.0.1", taken.getsockname()[1])
    assert str(refused.value).count("127.0.0.1") == 1
    assert "another --port" in str(refused.value)
    with pytest.raises(OptionError, match="--host"):
        listen("no.such.host.invalid", 0)


class Written(io.RawIOBase):
    """What was written, one write after the other."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.parts.append(bytes(data))
        return len(data)


def test_the_address_is_said_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with PYTHONUNBUFFERED: a second write would let others in before the end of the line."""
    raw: Any = Written()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, write_through=True))
    with listen("127.0.0.1", 0) as listener:
        announce(Serving(Path("b")), listener)
        port = listener.getsockname()[1]
    assert raw.parts == [f"serving at http://127.0.0.1:{port}\n".encode()]


def test_options_become_limits() -> None:
    given = {"port": 0, "max_rows": 4, "max_body": 0.5, "queue": 8, "latency": 50.0, "timeout": 2.0}
    found = read_options(Path("b"), given, {"METIER_TOKEN": "t"})
    limits = found.limits
    assert (limits.rows, limits.body, limits.queue) == (4, 524288, 8)
    assert (limits.latency, limits.timeout, found.token) == (0.05, 2.0, "t")
    assert read_options(Path("b"), {}, {}) == Serving(Path("b"))
    with pytest.raises(OptionError, match="token is empty"):
        read_options(Path("b"), {"token": " "}, {})
    with pytest.raises(OptionError, match="token is empty"):
        read_options(Path("b"), {}, {"METIER_TOKEN": "\n"})


def test_white_space_around_a_token_is_none_of_it() -> None:
    for given, environment in (({}, {"METIER_TOKEN": "s3cret\n"}), ({"token": " s3cret "}, {})):
        token = read_options(Path("b"), given, environment).token
        assert Door(token).admits("/predict", {b"authorization": b"Bearer s3cret"})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--port", "70000"), "no port"),
        (("--latency", "0"), "no number above 0"),
        (("--max-body", "nan"), "no number above 0"),
        (("--max-rows", "9", "--queue", "5"), "--queue a larger one"),
        (("--worker", "2"), "did you mean '--workers'"),
    ],
)
def test_words_that_cannot_be_are_refused(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["serve", str(tmp_path), *words]) == 2
    assert told in capsys.readouterr().err


def test_the_end_of_an_answer_does_not_wait_for_its_head() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
