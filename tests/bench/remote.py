"""`report` of a core in object storage, through a proxy with a round trip. See `remote`."""

import datetime
import os
import pathlib
import queue
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

KEY, SECRET = "ci-key", "ci-secret-0123456789"
IDENTITIES = (
    '{"identities":[{"name":"ci","credentials":[{"accessKey":"%s","secretKey":"%s"}],'
    '"actions":["Admin","Read","Write","List","Tagging"]}]}' % (KEY, SECRET)
)
RUNS = 7
GOALS = {1: 0.2, 10: 0.25, 50: 0.4}
# Without a pack there is a goal for the longest round trip alone.
WITHOUT = {50: 2.0}


class Proxy:
    """Passes connections on. Each takes a round trip to be made, and so does each answer."""

    def __init__(self, port, lists_requests=True):
        self.port, self.delay, self.lists_requests = port, 0.0, lists_requests
        self.lock = threading.Lock()
        self.begin()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def begin(self):
        """Counts from here on."""
        with self.lock:
            self.bytes, self.requests = 0, []
            self.begun = time.monotonic()

    def counted(self):
        with self.lock:
            return self.bytes, list(self.requests)

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.port))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.relay(client, server, self.delay * 1.5, up=True)
            self.relay(server, client, self.delay / 2, up=False)

    def relay(self, source, sink, first, up):
        """The first bytes of a client wait for the connection, too."""
        chunks = queue.Queue()
        begun = time.monotonic()

        def read():
            head = b""
            while data := source.recv(1 << 18):
                due = time.monotonic() + self.delay / 2
                chunks.put((max(due, begun + first) if up else due, data))
                if not up:
                    with self.lock:
                        self.bytes += len(data)
                elif self.lists_requests:
                    head = self.count_requests(head + data)
            chunks.put((time.monotonic() + self.delay / 2, b""))

        def write():
            while True:
                due, data = chunks.get()
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(data)
                except OSError:
                    return

        for work in (read, write):
            threading.Thread(target=guarded(work), daemon=True).start()

    def count_requests(self, text):
        """Counts what is complete of a client's requests, none of which has a body: gives the rest."""
        *heads, rest = text.split(b"\r\n\r\n")
        with self.lock:
            for head in heads:
                first, *fields = head.decode("latin-1").split("\r\n")
                ranges = [field.split("=")[-1] for field in fields if field.lower().startswith("range:")]
                path = first.split(" ")[1].rsplit("/", 1)[-1]
                self.requests.append((time.monotonic() - self.begun, first.split(" ")[0], path, *ranges))
        return rest


def guarded(work):
    def run():
        try:
            work()
        except OSError:
            pass

    return run


def free_ports(count):
    """Ports that are free, and those 10,000 above, which SeaweedFS takes for gRPC."""
    found = []
    for port in range(11000 + os.getpid() % 5000, 20000):
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 10000)):
                found.append(port)
        except OSError:
            continue
        if len(found) == count:
            return found
    sys.exit("no free ports")


def start_server(folder):
    """The server, and its port of S3."""
    server, ports = start_all(folder)
    return server, ports[0]


def start_all(folder):
    """The server, and its ports: of S3, the master, the volume server, the filer and others."""
    weed = pathlib.Path("target/seaweedfs-venv/bin/weed")
    if not weed.exists():
        sys.exit("SeaweedFS is not in target/seaweedfs-venv; tests/run installs it")
    (folder / "s3.json").write_text(IDENTITIES)
    names = ["s3.port", "master.port", "volume.port", "filer.port", "admin.port", "s3.port.iceberg", "s3.port.lance"]
    ports = free_ports(len(names))
    words = [str(weed.absolute()), "mini", "-dir=%s" % folder, "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    words += ["-admin.ui=false", "-webdav=false", "-s3.config=%s" % (folder / "s3.json")]
    words += ["-%s=%d" % pair for pair in zip(names, ports)]
    server = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    code = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:%d" % ports[0]]
    while subprocess.run(code, capture_output=True).stdout != b"403":
        if server.poll() is not None:
            sys.exit("SeaweedFS has ended")
        time.sleep(0.05)
    return server, ports


def environment(endpoint, key=None):
    """Variables for a server, and the file of a key. With a key, the names of an encrypted entry are tried first."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "VMCORECTL_CACHE": "0",
        **({"VMCORECTL_IDENTITY": str(key)} if key else {}),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def part_of_report(pack):
    """How many bytes of a pack a report uses: the layout is in formats/src/triage_pack."""
    tail, report, count = struct.unpack_from("<III", pack, 56)
    return len(pack) if report == count else struct.unpack_from("<Q", pack, 68 + 12 * report + 4)[0]


def measure(program, words, variables):
    times = []
    for _ in range(RUNS):
        begun = time.monotonic()
        subprocess.run([program, *words], env=variables, check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - begun)
    return statistics.median(times)


def main():
    core, program, output = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vmcorectl-remote-", dir=os.environ.get("TMPDIR", "target")))
    folder = folder.absolute()
    server, port = start_server(folder)
    try:
        rows = run(core, program, folder, port)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    pathlib.Path(output).write_text("\n".join(rows) + "\n")
    print("\n".join(rows))


def run(core, program, folder, port):
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    recipient = key.with_suffix(".pub").read_text().strip()
    direct = environment("http://127.0.0.1:%d" % port, key)
    bucket = ["curl", "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", KEY + ":" + SECRET]

    def request(method, name):
        words = [*bucket, "-X", method, direct["AWS_ENDPOINT_URL"] + "/bench" + name]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    request("PUT", "")
    addresses, local = {}, {}
    for name, options in (("plain", []), ("encrypted", ["--encrypt-to", recipient])):
        store = folder / ("store-" + name)
        words = [program, "import", core, "--guest", name, "--store", str(store), *options]
        entry = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        entry = pathlib.Path(entry)
        if name == "plain":
            pack = (entry / "triage.zst").read_bytes()
            size = (entry / "vmcore.elf.zst").stat().st_size
        words = [program, "push", "--all", "--to", "s3://bench/cores", "--store", str(store)]
        subprocess.run(words, env=direct, check=True, stdout=subprocess.DEVNULL)
        addresses[name] = "/cores/%s/%s" % (entry.parent.name, entry.name)
        local[name] = measure(program, ["report", str(entry)], direct)
        shutil.rmtree(store)
    needed = part_of_report(pack)
    proxy = Proxy(port)
    results, logs = {}, {}
    for has_pack in (True, False):
        for name, address in addresses.items():
            for delay in GOALS:
                proxy.delay = delay / 1000
                variables = environment(proxy.address, None if name == "plain" else key)
                words = ["report", "s3://bench" + address]
                proxy.begin()
                subprocess.run([program, *words], env=variables, check=True, stdout=subprocess.DEVNULL)
                fetched, requests = proxy.counted()
                cold = measure(program, words, variables)
                variables["XDG_CACHE_HOME"] = str(folder)
                variables["VMCORECTL_CACHE"] = "1G"
                subprocess.run([program, *words], env=variables, check=True, stdout=subprocess.DEVNULL)
                warm = measure(program, words, variables)
                proxy.begin()
                subprocess.run([program, *words], env=variables, check=True, stdout=subprocess.DEVNULL)
                results[delay, name, has_pack] = (cold, fetched / needed, len(requests), warm, len(proxy.counted()[1]))
                logs[name, has_pack] = requests
        for name, address in addresses.items():
            if has_pack:
                request("DELETE", address + ("/triage.zst.age" if name == "encrypted" else "/triage.zst"))
    return table(results, logs, local, size, len(pack), needed)


def table(results, logs, local, size, pack, needed):
    rows = [
        "# `report` of a core in object storage",
        "",
        "%s, %s, %d processors, Linux %s. Core of %.0f MiB, pack of %.1f MiB, of which a report uses"
        % (datetime.date.today(), processor(), os.cpu_count(), os.uname().release, size / 2**20, pack / 2**20),
        "%.1f MiB. SeaweedFS on loopback, behind a proxy that adds the round trip, also to each new connection."
        % (needed / 2**20),
        "Medians of %d runs; of the core on disk %.3f s, of the encrypted one %.3f s. By `tests/bench/remote`."
        % (RUNS, local["plain"], local["encrypted"]),
        "",
        "`cold` has no cache on this machine, `warm` one that has all that was fetched before. Bytes are all that came from",
        "the server, heads of answers included, over what a report uses of the pack.",
        "",
        "| Round trip | core | pack | cold, s | goal | bytes / needed | requests | warm, s | requests |",
        "|---:|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (delay, name, has_pack), (cold, ratio, requests, warm, again) in sorted(
        results.items(), key=lambda row: (not row[0][2], row[0][1] != "plain", row[0][0])
    ):
        goal = (GOALS if has_pack else WITHOUT).get(delay)
        cells = ["%d ms" % delay, name, "yes" if has_pack else "no", "%.3f" % cold]
        cells += ["" if goal is None else "%.2f" % goal, "%.2f" % ratio, str(requests), "%.3f" % warm, str(again)]
        rows.append("| " + " | ".join(cells) + " |")
    for (name, has_pack), requests in logs.items():
        rows += ["", "Requests, %s, %s a pack, at %d ms:" % (name, "with" if has_pack else "without", max(GOALS)), ""]
        for at, method, path, *ranges in requests:
            rows.append("    %6.0f ms  %s %s %s" % (at * 1000, method, path.split("?")[0], " ".join(ranges)))
    return rows


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


if __name__ == "__main__":
    main()
