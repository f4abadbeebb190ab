"""Claim: `metier serve` gives most of the offline batch throughput, and keeps its latency.

A server in a process of its own, and this process as its client, on the same cores. First, how many
rows a second the bundle answers offline, in batches, in a process of its own. Then the server gets
requests at random moments, at shares of that rate, until it is past it; then from 64 clients at
once. A plain FastAPI server around the `transformers` pipeline of the same encoder gets the same
requests from the same client, in turns. What the client takes of the machine is not taken off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import client, machine, made, options, processes, records, sets
from bench.sets import TEXT

CLAIM = "serve"
SHARES = (0.25, 0.5, 0.75, 0.9, 1.1)
"""Loads, as shares of the offline throughput."""
CLIENTS = 64
LATENCY_MS = 100
WARM_SECONDS = 1.0
START_SECONDS = 120.0
OFFLINE = """
import json, sys, time
from metier.runtime.session import load
bundle = load(sys.argv[1], threads=int(sys.argv[3]))
texts = json.load(open(sys.argv[2], encoding="utf-8"))
bundle.predict(texts[:64])
began, done = time.perf_counter(), 0
while time.perf_counter() - began < float(sys.argv[4]):
    bundle.predict(texts)
    done += len(texts)
print(done / (time.perf_counter() - began))
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the repeats that are asked for and have not been run, both servers in turns."""
    args = _arguments(argv)
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        scratch = Path(name)
        rows = sets.load(args.set, sets.find_data(args.data), limit=args.limit)
        texts = rows.test[TEXT].to_list()[: args.texts]
        bundle = args.bundle or made.make_bundle(rows, scratch, args.threads)
        directory = made.make_directory(rows, scratch / "directory")
        held = scratch / "texts.json"
        held.write_text(json.dumps(texts), encoding="utf-8")
        for repeat in range(args.repeats):
            for method in args.methods:
                key = {"set": args.set, "method": method, "repeat": repeat, "limit": args.limit}
                key |= {"rows": args.rows, "threads": args.threads}
                if records.find(records.read(CLAIM, args.results), key) is None:
                    offline = _offline(bundle, held, args)
                    command = _server(method, bundle, directory, args.threads)
                    for each in _measure(command, texts, offline, repeat, args):
                        _tell(method, each)
                        each = {**key, "offline_rows_per_second": round(offline, 2), **each}
                        records.append(CLAIM, each, args.threads, args.results)


def _offline(bundle: Path, held: Path, args: argparse.Namespace) -> float:
    words = [str(bundle), str(held), str(args.threads), str(args.seconds)]
    cost = processes.run(processes.python("-c", OFFLINE, *words), args.threads)
    if cost.code != 0:
        raise SystemExit(f"predicting offline failed: {cost.said}")
    return float(cost.answered)


def _measure(
    command: list[str], texts: Sequence[str], offline: float, repeat: int, args: argparse.Namespace
) -> list[records.Record]:
    asked = _requests(texts, args.rows)
    found = []
    with _running(command, args.threads) as port:
        client.flood(port, asked, 4, WARM_SECONDS)
        for share in args.shares:
            load = machine.load()
            seen = client.drip(port, asked, share * offline / args.rows, args.seconds, repeat)
            found.append({"share": share, **_told(seen, args.rows, offline), "load_before": load})
        load = machine.load()
        seen = client.flood(port, asked, CLIENTS, args.seconds)
        found.append({"clients": CLIENTS, **_told(seen, args.rows, offline), "load_before": load})
    return found


def _tell(method: str, found: records.Record) -> None:
    what = f"{found['share']:.0%}" if "share" in found else f"{CLIENTS} clients"
    times = f"p50 {found.get('p50_ms')} ms, p99 {found.get('p99_ms')} ms"
    told = f"{found['rows_per_second']} rows/s ({found['of_offline']:.0%} of offline), {times}"
    print(f"{method} at {what}: {told}, {found['refused']} refused", flush=True)


def _told(seen: client.Seen, rows: int, offline: float) -> records.Record:
    facts = seen.facts(rows)
    return {**facts, "of_offline": round(facts["rows_per_second"] / offline, 4)}


def _requests(texts: Sequence[str], rows: int) -> list[bytes]:
    groups = [texts[start : start + rows] for start in range(0, len(texts) - rows + 1, rows)]
    return [
        client.request(json.dumps({"rows": [{TEXT: text} for text in group]}).encode())
        for group in groups
    ]


def _server(method: str, bundle: Path, directory: Path, threads: int) -> list[str]:
    """Return the command of a server; the port is put in when it starts."""
    if method == "metier":
        words = ["serve", str(bundle), "--threads", str(threads), "--latency", str(LATENCY_MS)]
        return processes.metier(*words, "--port")
    words = ["-m", "bench.peers.plainserver", str(directory)]
    return processes.python(*words)


@contextlib.contextmanager
def _running(command: list[str], threads: int) -> Iterator[int]:
    """Start a server on a free port, wait until it answers, and end it with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        more = [] if "--port" in command else [str(threads)]
        process = processes.start([], [*command, str(port), *more], threads, Path(name))
        try:
            _wait(process, port, Path(name))
            yield port
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            processes.kill(process)


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"the server did not start: {(folder / 'said').read_text()[-2000:]}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("serve", __doc__)
    option = parser.add_argument
    texts = [name for name, about in sets.SETS.items() if about.modality == "text"]
    option("--set", choices=texts, default="banking77-10")
    option("--repeats", type=int, default=3)
    option("--methods", nargs="+", choices=("metier", "plain"), default=["metier", "plain"])
    option("--shares", nargs="+", type=float, default=list(SHARES))
    option("--seconds", type=float, default=20.0, help="of every load")
    option("--rows", type=int, default=1, help="rows in a request")
    option("--texts", type=int, default=512, help="test rows that requests are made of")
    option("--bundle", type=Path, help="a text bundle of the embedded encoder")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
