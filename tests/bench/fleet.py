"""A fleet's table, and triage by engines. See `fleet`."""

import concurrent.futures
import datetime
import http.client
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from remote import KEY, SECRET, environment, processor, start_all

CORE = "samples/core/linux-6.1.zst"
CORPUS = "tests/corpus/syzkaller.jsonl.zst"
STORE = "s3://fleet/cores"
PYTHON = "target/fleet-venv/bin/python"
RUNS, ROUNDS, SHARDS = 5, 3, 8
AT_ONCE = 8
# Of an entry, all but its core is small, and a listing reads none of it.
OBJECTS = ("triage.zst", "report.json", "metadata.json", "core-0000000000000000.elf.zst", "core.json")


def done(words, variables=None, text=False):
    return subprocess.run(words, env=variables, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text).stdout


def seconds(words, variables):
    begun = time.monotonic()
    done(words, variables)
    return time.monotonic() - begun


def measure(words, variables, runs=RUNS):
    return statistics.median(seconds(words, variables) for _ in range(runs))


class Filer:
    """SeaweedFS below its S3: objects are put without a signature, which takes Python most of the time."""

    def __init__(self, port):
        self.port, self.own = port, threading.local()

    def put(self, name, data):
        if not hasattr(self.own, "connection"):
            self.own.connection = http.client.HTTPConnection("127.0.0.1", self.port)
        self.own.connection.request("PUT", "/buckets/fleet/cores/" + name, data)
        answer = self.own.connection.getresponse()
        answer.read()
        assert answer.status in (200, 201), (name, answer.status)

    def put_all(self, objects):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda one: self.put(*one), objects, chunksize=64):
                pass


def table(crashes, program, folder, filer, variables):
    """The rows, compacted and in the bucket, each with an entry. Gives lines of the answer."""
    real, store = folder / "real", folder / "store"
    done([program, "import", CORE, "--store", str(real)])
    done([program, "report", "--save", "latest", "--store", str(real)])
    done([program, "index", "--store", str(real)])
    (folder / "rows").write_bytes(b"".join(path.read_bytes() for path in real.glob("index/new/*/*.json")))
    (folder / "logs").write_bytes(done(["zstd", "-dcq", CORPUS]))
    (folder / "explained").write_bytes(done([program, "explain", "--jsonl", str(folder / "logs")]))
    arguments = [str(folder / "rows"), str(folder / "explained"), str(crashes), str(store)]
    done([sys.executable, "tests/remote/fleet/rows.py", *arguments])
    entries = [path for path in store.glob("index/new/*/*.json")]
    bytes_of_rows = sum(path.stat().st_size for path in entries)
    guests = []
    for path in entries:
        text = path.read_text()
        at = text.index('"entry":"') + 9
        guests.append(text[at : text.index('"', at)])
    compacted = seconds([program, "index", "--compact", "--store", str(store)], None)
    parts = sorted(store.glob("index/crashes/*/*.parquet"))
    size = sum(part.stat().st_size for part in parts)
    filer.put_all((str(part.relative_to(store)), part.read_bytes()) for part in parts)
    filer.put_all((guest + "/" + name, b"-") for guest in guests for name in OBJECTS)
    lines = [
        "## The table",
        "",
        f"{crashes:,} crashes on {len({guest.split('/')[0] for guest in guests}):,} guests: rows of {bytes_of_rows / 1e6:.0f} MB, compacted"
        f" in {compacted:.1f} s to {len(parts)} parts of {size / 1e6:.1f} MB ({size / crashes:.0f} B a row).",
        f"In the bucket: the parts, and {len(OBJECTS)} objects for each crash.",
        "",
        "| Command | s | goal |",
        "|---|---:|---:|",
    ]
    here, there = ["--store", str(store)], ["--store", STORE]
    for words, where, goal, runs in (
        (["group"], there, "1.0", RUNS),
        (["group", "--new-since", "2026-11-17"], there, "1.0", RUNS),
        (["group"], here, "", RUNS),
        (["list"], there, "", 1),
    ):
        took = measure([program, *words, *where], variables, runs)
        place = "the bucket" if where is there else "a directory"
        lines.append(f"| `{' '.join(words)}`, table in {place} | {took:.2f} | {goal} |")
    return lines


def triage(cores, program, folder, variables):
    store = folder / "cores"
    source = folder / "real"
    [entry] = [path.parent for path in source.glob("*/*/metadata.json")]
    for number in range(cores):
        there = store / "guest" / ("20260101T000000Z-%08x" % number)
        there.mkdir(parents=True)
        for name in ("vmcore.elf.zst", "metadata.json", "triage.zst"):
            shutil.copy(entry / name, there / name)
    (folder / "bin").mkdir()
    (folder / "bin/vmcorectl").symlink_to(program)
    variables = {**variables, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    outputs = iter(range(10**6))

    def run(how, source):
        out = str(folder / ("out-%d" % next(outputs)))
        if how == "dask":
            words = [PYTHON, "samples/fleet/triage-dask.py", str(source), out, str(SHARDS)]
        else:
            shard = f"vmcorectl triage --shard {{}}/{SHARDS} --from {source} --out {out}"
            words = ["sh", "-c", f"seq 0 {SHARDS - 1} | xargs -P2 -I{{}} {shard}"]
        took = seconds(words, variables)
        count = len(list(pathlib.Path(out).glob("*/*.json"))) if source == store else 0
        assert source != store or count == cores, (how, count)
        return took

    empty = folder / "empty"
    empty.mkdir()
    start = statistics.median(run("dask", empty) for _ in range(ROUNDS))
    times = {"xargs": [], "dask": []}
    for _ in range(ROUNDS):
        for how, taken in times.items():
            taken.append(run(how, store))
    xargs, dask = (statistics.median(times[how]) for how in ("xargs", "dask"))
    return [
        "",
        "## `triage`",
        "",
        f"{cores} cores of {os.stat(CORE).st_size / 2**20:.0f} MiB in a directory, {SHARDS} shards, two at a time, median of {ROUNDS} rounds.",
        "Dask's start is that of the same script on an empty store.",
        "",
        "| By | s | of xargs | without the start | goal |",
        "|---|---:|---:|---:|---:|",
        f"| `xargs -P2` | {xargs:.2f} | 1 | 1 | |",
        f"| Dask, two workers | {dask:.2f} | {dask / xargs:.2f} | {(dask - start) / xargs:.2f} | 1.05 |",
    ]


def main():
    crashes, cores, program, output = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vmcorectl-fleet-"))
    served = folder / "served"
    served.mkdir()
    server, ports = start_all(served)
    try:
        variables = environment("http://127.0.0.1:%d" % ports[0])
        bucket = ["curl", "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", KEY + ":" + SECRET]
        done([*bucket, "-X", "PUT", variables["AWS_ENDPOINT_URL"] + "/fleet"])
        lines = table(int(crashes), program, folder, Filer(ports[3]), variables)
        lines += triage(int(cores), program, folder, variables)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    version = done([program, "--version"], text=True).strip()
    head = [
        "# A fleet's table, and triage by engines",
        "",
        f"{datetime.date.today()}, {processor()}, {os.cpu_count()} processors, Linux {os.uname().release}, {version}.",
        f"SeaweedFS on loopback. Medians of {RUNS} runs; `list` ran once. By `tests/bench/fleet`.",
        "",
    ]
    pathlib.Path(output).write_text("\n".join(head + lines) + "\n")
    print("\n".join(head + lines))


if __name__ == "__main__":
    main()
