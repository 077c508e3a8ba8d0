"""`push` and `pull` beside the AWS client and rclone. See `push`."""

import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import remote

DELAYS = (0, 10, 50)
ENTRY = "web/20260101T000000Z-aaaa0001"
SAMPLE = pathlib.Path("samples/core/linux-6.1.zst.json")
CLIENTS = ("vmcorectl", "aws", "rclone")


class Client:
    """One of the three, and what it is called with."""

    def __init__(self, name, program, folder, core):
        self.name, self.program, self.folder, self.core = name, program, folder, core

    def push(self):
        if self.name == "vmcorectl":
            return [self.program, "push", "--all", "--to", "s3://bench/vmcorectl", "--store", str(self.folder / "store")]
        if self.name == "aws":
            return [self.program, "s3", "cp", "--quiet", str(self.core), "s3://bench/aws/core"]
        return [self.program, "copyto", str(self.core), "bench:bench/rclone/core"]

    def pull(self):
        if self.name == "vmcorectl":
            return [self.program, "pull", "s3://bench/vmcorectl/" + ENTRY, "--store", str(self.folder / "pulled")]
        if self.name == "aws":
            return [self.program, "s3", "cp", "--quiet", "s3://bench/aws/core", str(self.folder / "pulled/core")]
        return [self.program, "copyto", "bench:bench/rclone/core", str(self.folder / "pulled/core")]

    def variables(self, endpoint):
        variables = remote.environment(endpoint) | {"AWS_DEFAULT_REGION": "us-east-1", "HOME": str(self.folder)}
        options = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": endpoint, "FORCE_PATH_STYLE": "true"}
        return variables | {"RCLONE_CONFIG_BENCH_" + name: value for name, value in options.items()}


def tree(pid):
    """The processes below one, and itself."""
    found = [pid]
    for one in found:
        try:
            for task in pathlib.Path("/proc/%d/task" % one).iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def watch(pid, used, ended):
    """The most memory that each process of the tree has had at once, and its seconds of processors."""
    while not ended.is_set():
        for one in tree(pid):
            try:
                status = pathlib.Path("/proc/%d/status" % one).read_text()
                ticks = pathlib.Path("/proc/%d/stat" % one).read_text().rsplit(")", 1)[1].split()[11:13]
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    seconds = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
                    used[one] = (int(line.split()[1]) << 10, seconds)
        ended.wait(0.02)


def timed(words, variables):
    """Seconds, seconds of processors, and the sum of the peaks of its processes' memory."""
    used, ended = {}, threading.Event()
    os.sync()
    begun = time.monotonic()
    child = subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL)
    watcher = threading.Thread(target=watch, args=(child.pid, used, ended))
    watcher.start()
    code = child.wait()
    seconds = time.monotonic() - begun
    ended.set()
    watcher.join()
    if code != 0:
        sys.exit("%s has failed: %d" % (words, code))
    return seconds, sum(one[1] for one in used.values()), sum(one[0] for one in used.values())


def make_store(folder, mib):
    """An entry whose core has bytes that do not repeat, as those of a compressed core do not."""
    entry = folder / "store" / ENTRY
    entry.mkdir(parents=True)
    metadata = json.loads(SAMPLE.read_text()) | {"core": None}
    (entry / "metadata.json").write_text(json.dumps(metadata))
    core = entry / "vmcore.elf.zst"
    with open(core, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    return core


def run_round(delay, clients, folder):
    """Each client sends and brings the core once, with a server that has nothing."""
    data = pathlib.Path(tempfile.mkdtemp(prefix="server-", dir=folder))
    server, port = remote.start_server(data)
    figures = {}
    try:
        endpoint = "http://127.0.0.1:%d" % port
        bucket = ["curl", "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", remote.KEY + ":" + remote.SECRET]
        subprocess.run([*bucket, "-X", "PUT", endpoint + "/bench"], check=True, stdout=subprocess.DEVNULL)
        if delay:
            proxy = remote.Proxy(port, lists_requests=False)
            proxy.delay, endpoint = delay / 1000, proxy.address
        for client in clients:
            variables = client.variables(endpoint)
            shutil.rmtree(folder / "store/.push", ignore_errors=True)
            pushed = timed(client.push(), variables)
            shutil.rmtree(folder / "pulled", ignore_errors=True)
            (folder / "pulled").mkdir()
            pulled = timed(client.pull(), variables)
            brought = next(path for path in (folder / "pulled").rglob("*") if path.is_file() and path.stat().st_size >= 1 << 20)
            subprocess.run(["cmp", str(client.core), str(brought)], check=True)
            shutil.rmtree(folder / "pulled")
            figures[client.name] = {"push": pushed, "pull": pulled}
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(data, ignore_errors=True)
    return figures


def table(what, rounds):
    """A row for each delay: MiB/s of each, the ratio to the faster one of the others, processors, memory."""
    rows = [
        "| Round trip | `%s`, MiB/s | aws | rclone | ratio to the faster | processors, s | aws | rclone | memory, MiB | aws | rclone |" % what,
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for delay, mib, figures in rounds:
        of = {name: [figure[name][what] for figure in figures] for name in CLIENTS}
        rate = {name: mib / statistics.median(one[0] for one in of[name]) for name in CLIENTS}
        ratios = [min(figure["aws"][what][0], figure["rclone"][what][0]) / figure["vmcorectl"][what][0] for figure in figures]
        used = {name: statistics.median(one[1] for one in of[name]) for name in CLIENTS}
        memory = {name: max(one[2] for one in of[name]) / 2**20 for name in CLIENTS}
        cells = ["%d ms" % delay] + ["%.0f" % rate[name] for name in CLIENTS]
        cells += ["%.2f" % statistics.median(ratios)]
        cells += ["%.2f" % used[name] for name in CLIENTS] + ["%.0f" % memory[name] for name in CLIENTS]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def main():
    mib, count = int(sys.argv[1]), int(sys.argv[2])
    program, aws, output = sys.argv[3:]
    rclone = shutil.which("rclone") or sys.exit("rclone is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vmcorectl-push-"))
    try:
        core = make_store(folder, mib)
        programs = dict(zip(CLIENTS, (program, aws, rclone)))
        clients = [Client(name, programs[name], folder, core) for name in CLIENTS]
        rounds = []
        for delay in DELAYS:
            # Who goes first changes.
            orders = (clients[turn % 3 :] + clients[: turn % 3] for turn in range(count))
            rounds.append((delay, mib, [run_round(delay, order, folder) for order in orders]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    versions = [
        subprocess.run([aws, "--version"], capture_output=True, text=True, check=True).stdout.split()[0].replace("/", " "),
        subprocess.run([rclone, "version"], capture_output=True, text=True, check=True).stdout.splitlines()[0],
    ]
    rows = [
        "# `push` and `pull` beside other clients",
        "",
        "%s, %s, %d processors, Linux %s. Core of %d MiB, to and from SeaweedFS on loopback on the same machine,"
        % (datetime.date.today(), remote.processor(), os.cpu_count(), os.uname().release, mib),
        "from 10 ms on behind a proxy that adds the round trip. %s, as they are without options." % " and ".join(versions),
        "Median of %d rounds; each has a fresh server. Ratio: the rate of ours to that of the faster one of the others in"
        % count,
        "the same round (goal of `push`: at least 0.90). Memory: the sum of the peaks of a client's processes (goal: under",
        "128 MiB). `push` has the SHA-256 of the whole core, and `pull` checks it; the others do neither. By `tests/bench/push`.",
        "",
        *table("push", rounds),
        "",
        *table("pull", rounds),
    ]
    pathlib.Path(output).write_text("\n".join(rows) + "\n")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
