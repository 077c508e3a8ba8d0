#!/usr/bin/env python3
"""Measures dumps of one held guest; the part of held-time that watches the clock.

Needs a panicked guest that samples/guest/boot started. Standard library only.

What is measured, and how:
- Time: from asking for the dump until its data is complete: DUMP_COMPLETED has come and, where there is a pipe,
  its end has been read. For vmcorectl it is the held time of its metadata (for `--then hold`: all steps but
  connecting, writing and syncing, so a little more than the held time); the whole command is in its own column.
- CPU: of the program (rusage of the child, or of the thread that reads the pipe), and apart from it what QEMU's
  process used in the same time (/proc/PID/stat).
- Before each run the outputs of the one before are deleted and the disk has settled (sync).
"""

import argparse
import array
import contextlib
import fcntl
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

import report

MIB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


class Monitor:
    """A QMP client, just good enough for a QEMU that does as it is told."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(600)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        self.receive()
        self.run("qmp_capabilities")

    def receive(self):
        line = self.lines.readline()
        if not line:
            sys.exit("measure: QEMU closed its monitor")
        return json.loads(line)

    def run(self, command, descriptor=None, **arguments):
        message = json.dumps({"execute": command, "arguments": arguments}).encode()
        passed = []
        if descriptor is not None:
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.socket.sendmsg([message], passed)
        while True:
            reply = self.receive()
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                sys.exit(f"measure: {command}: {reply['error']['desc']}")
            else:
                return reply["return"]

    def dump(self, protocol, kind="elf"):
        """Dumps the guest, and waits until QEMU says that it has."""
        # Events of dumps that others asked for may still wait to be read.
        self.run("query-status")
        self.events.clear()
        self.run("dump-guest-memory", paging=False, protocol=protocol, detach=True, format=kind)
        while True:
            event = self.events.pop(0) if self.events else self.receive()
            if event.get("event") == "DUMP_COMPLETED":
                break
        if event["data"]["result"]["status"] != "completed":
            sys.exit(f"measure: QEMU's dump failed: {event['data']}")


@dataclass
class Run:
    """One measured run. None is what does not exist or is not known."""

    held: float | None  # seconds
    wall: float
    cpu: float | None  # of the program, or None where it is QEMU that works
    qemu_cpu: float | None
    size: int | None  # bytes
    rss: int | None  # bytes
    phases: dict = field(default_factory=dict)


class Bench:
    """The held guest, and a folder for what is dumped from it."""

    def __init__(self, options):
        self.options = options
        self.out = options.out
        self.keys = self.key = None
        with open(os.path.join(options.dir, "pid"), encoding="utf-8") as pid:
            self.pid = int(pid.read())
        self.monitor = Monitor(os.path.join(options.dir, "qmp2.sock"))
        self.version = self.monitor.run("query-version")

    def path(self, name):
        return os.path.join(self.out, name)

    def settle(self, keep=()):
        for name in os.listdir(self.out):
            if name not in keep:
                os.unlink(self.path(name))
        os.sync()
        time.sleep(1)

    def qemu_cpu(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def qemu_resident(self, name):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            return int(re.search(rf"^{name}:\s+(\d+) kB$", status.read(), re.MULTILINE).group(1)) * 1024

    def qemu(self, protocol, kind="elf", output=None):
        """QEMU alone, to wherever it writes by itself. Its peak is what it takes beyond what it has, the guest included."""
        self.settle()
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="utf-8") as peak:
            peak.write("5")
        cpu, resident, start = self.qemu_cpu(), self.qemu_resident("VmRSS"), time.monotonic()
        self.monitor.dump(protocol, kind)
        seconds = time.monotonic() - start
        size = os.path.getsize(output) if output else None
        return Run(seconds, seconds, None, self.qemu_cpu() - cpu, size,
                   max(0, self.qemu_resident("VmHWM") - resident))

    def raw(self):
        return self.qemu(f"file:{self.path('raw.elf')}", output=self.path("raw.elf"))

    def kdump(self):
        return self.qemu(f"file:{self.path('kdump')}", "kdump-zlib", self.path("kdump"))

    def null(self):
        return self.qemu("file:/dev/null")

    def pipe(self):
        """QEMU into a pipe whose reader throws everything away: what streaming alone costs."""
        self.settle()
        reader, writer = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, MIB)
        seen = {}

        def drain():
            buffer, size = bytearray(MIB), 0
            while count := os.readv(reader, [buffer]):
                size += count
            seen.update(size=size, cpu=time.thread_time(), end=time.monotonic())

        thread = threading.Thread(target=drain)
        cpu, start = self.qemu_cpu(), time.monotonic()
        thread.start()
        self.monitor.run("getfd", descriptor=writer, fdname="dump")
        os.close(writer)
        self.monitor.dump("fd:dump")
        completed = time.monotonic()
        thread.join()
        os.close(reader)
        seconds = max(completed, seen["end"]) - start
        return Run(seconds, seconds, seen["cpu"], self.qemu_cpu() - cpu, None, None)

    def child(self, command, output):
        """A program that works on its own: wall time, CPU, peak memory, size of what it wrote."""
        cpu, start = self.qemu_cpu(), time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - start
        if process.returncode != 0:
            sys.exit(f"measure: {' '.join(command)} ended with {process.returncode}")
        return Run(None, wall, usage.ru_utime + usage.ru_stime, self.qemu_cpu() - cpu, os.path.getsize(output),
                   usage.ru_maxrss * 1024)

    def zstd(self, threads):
        """Compressing the raw file afterwards. The guest is not held by it, but somebody waits, and the disk is full."""
        self.settle(keep=("raw.elf",))
        output = self.path("raw.zst")
        run = self.child(["zstd", "-q", "-f", "-1", f"-T{threads}", self.path("raw.elf"), "-o", output], output)
        run.qemu_cpu = None
        return run

    def vmcorectl(self, *arguments, then="hold"):
        self.settle()
        output = self.path("core.elf.zst")
        command = [self.options.vmcorectl, "capture", os.path.join(self.options.dir, "qmp.sock"), "-q",
                   "--then", then, "--output", output, *arguments]
        run = self.child(command, output)
        metadata = self.metadata(output)
        run.phases = {phase["name"]: phase["seconds"] for phase in metadata["phases"]}
        wanted = ("stream", "ranges") if "stream" in arguments else ("direct",)
        if metadata["source"]["used"] not in wanted:
            sys.exit(f"measure: the memory was not read as it should be: {metadata['source']}")
        run.held = metadata["held_seconds"]
        if run.held is None:
            run.held = sum(seconds for name, seconds in run.phases.items() if name not in ("connect", "write", "sync"))
        return run


    def encrypted(self, *arguments):
        """The same, encrypted to a key that is made for it."""
        if self.key is None:
            self.keys = tempfile.TemporaryDirectory()
            self.key = os.path.join(self.keys.name, "key")
            subprocess.run(["age-keygen", "-o", self.key], check=True, capture_output=True)
        recipient = subprocess.run(["age-keygen", "-y", self.key], check=True, capture_output=True, text=True).stdout
        return self.vmcorectl(*arguments, "--encrypt-to", recipient.strip())

    def metadata(self, output):
        """All metadata of a core, out of an encrypted file if there is one."""
        if os.path.exists(f"{output}.json.age"):
            text = subprocess.run(["age", "-d", "-i", self.key, f"{output}.json.age"], check=True, capture_output=True).stdout
        else:
            with open(f"{output}.json", "rb") as file:
                text = file.read()
        return json.loads(text)


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def measure(bench, options):
    """Runs all, in turn. Gives the medians and the runs, by name. The first dump does not count: memory is touched."""
    todo = {"QEMU, raw ELF file": bench.raw}
    if not options.holds:
        todo |= {"`zstd -1 -T1` of that file": lambda: bench.zstd(1), "`zstd -1 -T2` of that file": lambda: bench.zstd(2)}
    todo |= {
        "QEMU, drained pipe": bench.pipe,
        "QEMU, /dev/null": bench.null,
        "vmcorectl": bench.vmcorectl,
        "vmcorectl --source stream": lambda: bench.vmcorectl("--source", "stream"),
        "vmcorectl --spool 0": lambda: bench.vmcorectl("--spool", "0"),
        "vmcorectl --source stream --spool 0": lambda: bench.vmcorectl("--source", "stream", "--spool", "0"),
        "vmcorectl --encrypt-to": bench.encrypted,
        "vmcorectl --spool 0 --encrypt-to": lambda: bench.encrypted("--spool", "0"),
        "vmcorectl --pages kernel": lambda: bench.vmcorectl("--pages", "kernel"),
        "vmcorectl --pages kernel --source stream": lambda: bench.vmcorectl("--pages", "kernel", "--source", "stream"),
    }
    if options.sweep:
        for level in (-5, -1, 1, 2, 3):
            for threads in (1, 2, 4):
                todo[f"vmcorectl --level {level} --threads {threads}"] = (
                    lambda level=level, threads=threads: bench.vmcorectl("--level", str(level), "--threads", str(threads)))
    runs = {name: [] for name in todo}
    bench.null()
    for number in range(options.rounds):
        for name, action in todo.items():
            print(f"round {number + 1}/{options.rounds}: {name}", file=sys.stderr, flush=True)
            runs[name].append(action())
    if not options.holds:
        print("once: QEMU, kdump-zlib file", file=sys.stderr, flush=True)
        runs["QEMU, kdump-zlib file"] = [bench.kdump()]
    # The last one, since it lets the guest go.
    print("once: vmcorectl --then resume", file=sys.stderr, flush=True)
    runs["vmcorectl, and resume"] = [bench.vmcorectl(then="resume")]
    return {name: Run(**{key: median([getattr(run, key) for run in taken]) for key in
                         ("held", "wall", "cpu", "qemu_cpu", "size", "rss")},
                      phases={key: median([run.phases.get(key) for run in taken]) for key in taken[-1].phases})
            for name, taken in runs.items()}, runs


def number(value, unit=1, digits=2):
    return "-" if value is None else f"{value / unit:.{digits}f}"


def table(runs, taken):
    raw, zstd = runs["QEMU, raw ELF file"], runs.get("`zstd -1 -T2` of that file")
    heads = ["", "runs", "held s", "x raw file", "least-most s", "whole command s", "CPU s", "QEMU's CPU s", "MiB", "x zstd -1",
             "peak MiB"]
    rows = [heads]
    for name, run in runs.items():
        held = [one.held for one in taken[name] if one.held is not None]
        rows.append([
            name, str(len(taken[name])), number(run.held), "-" if run.held is None else number(run.held, raw.held),
            f"{min(held):.2f}-{max(held):.2f}" if held else "-", number(run.wall), number(run.cpu), number(run.qemu_cpu),
            number(run.size, MIB, 0), "-" if run.size is None or zstd is None else number(run.size, zstd.size), number(run.rss, MIB, 0)])
    return report.table(rows)


def goals(runs):
    """What vmcorectl is to reach, and what it reached."""
    raw, pipe, tool = runs["QEMU, raw ELF file"], runs["QEMU, drained pipe"], runs["vmcorectl"]
    stream, unspooled = runs["vmcorectl --source stream"], runs["vmcorectl --spool 0"]
    kernel, kernel_stream = runs["vmcorectl --pages kernel"], runs["vmcorectl --pages kernel --source stream"]

    def held(goal, run, limit, of):
        return (goal, run.held <= limit * of.held, f"{run.held:.2f} s of {of.held:.2f} s, {run.held / of.held:.2f}")

    lines = [
        held("read in QEMU's process, held at most 0.25 of the raw file", tool, 0.25, raw),
        held("without a spool, held at most 0.8 of the raw file", unspooled, 0.8, raw),
        held("through the pipe, held at most 1.1 of the drained pipe", stream, 1.1, pipe),
        held("--pages kernel, held at most 1/15 of the raw file", kernel, 1 / 15, raw),
        held("--pages kernel through the monitor, held at most 1/5 of the raw file", kernel_stream, 1 / 5, raw),
        held("encrypted, held at most 1.05 of what is not", runs["vmcorectl --encrypt-to"], 1.05, tool),
        held("the same, without a spool", runs["vmcorectl --spool 0 --encrypt-to"], 1.05, unspooled),
        ("without a spool, under 256 MiB resident", unspooled.rss < 256 * MIB, f"{unspooled.rss / MIB:.0f} MiB"),
        ("--pages kernel, under 256 MiB resident", kernel.rss < 256 * MIB, f"{kernel.rss / MIB:.0f} MiB"),
    ]
    zstds = [run for name, run in runs.items() if name.startswith("`zstd")]
    if zstds:
        size, single = min(run.size for run in zstds), min(run.cpu for run in zstds)
        budget, spent = pipe.cpu + pipe.qemu_cpu + single, tool.cpu + tool.qemu_cpu
        lines += [
            ("no larger than `zstd -1` of it", tool.size <= size, f"{tool.size / MIB:.0f} MiB of {size / MIB:.0f} MiB"),
            ("CPU time at most the pipe's and that of `zstd -1`, -T1 or -T2", spent <= budget, f"{spent:.2f} s of {budget:.2f} s"),
        ]
    text = [f"- {'reached' if reached else 'MISSED'}: {goal}: {what}" for goal, reached, what in lines]
    resumed = runs["vmcorectl, and resume"]
    for name, run in (("vmcorectl", tool), ("vmcorectl --pages kernel", kernel), ("vmcorectl, and resume", resumed)):
        text.append(f"- steps of {name}, in seconds: "
                    + ", ".join(f"{step} {seconds:.3f}" for step, seconds in run.phases.items()))
    return "\n".join(text)


def machine(bench):
    qemu = bench.version["qemu"]
    zstd = subprocess.run(["zstd", "--version"], capture_output=True, text=True, check=True).stdout
    zstd = re.search(r"v([0-9.]+)", zstd)
    return (f"{report.machine()}; QEMU {qemu['major']}.{qemu['minor']}.{qemu['micro']}, "
            f"zstd {zstd.group(1) if zstd else '?'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True, help="folder of the guest, as samples/guest/boot made it")
    parser.add_argument("--out", required=True, help="empty folder for the dumps")
    parser.add_argument("--vmcorectl", required=True)
    parser.add_argument("--guest", required=True, help="what to say about the guest")
    parser.add_argument("--results", required=True, help="where --write writes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--holds", action="store_true", help="leaves out what does not bear on the hold: zstd, kdump")
    parser.add_argument("--busy", action="store_true", help="with a busy loop on each processor")
    parser.add_argument("--memory", required=True, help="the guest's")
    parser.add_argument("--disk", default="this machine's disk", help="what is written to")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    bench = Bench(options)
    about = machine(bench)
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() if options.busy else 0)]
    try:
        runs, taken = measure(bench, options)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    text = f"{table(runs, taken)}\n\n{goals(runs)}\n"
    print(text)
    if options.write:
        version = subprocess.run([options.vmcorectl, "--version"], capture_output=True, text=True, check=True).stdout
        flags = [f"--{flag}" for flag in ("sweep", "holds", "busy") if getattr(options, flag)]
        asked = " ".join([f"--rounds {options.rounds}", *flags])
        heading = f"{options.memory}, {'busy' if options.busy else 'idle'} host, {options.disk}"
        section = (
            f"Written by `tests/bench/held-time {asked} --write` on {time.strftime('%Y-%m-%d', time.gmtime())} "
            f"with {version.strip()}.\n\n"
            f"- Machine: {about}\n- Guest: {options.guest}\n\n{text.rstrip()}\n")
        write_section(options.results, heading, section)


def write_section(path, heading, section):
    """Puts a section into the file: in the place of the one with this heading, or at the end."""
    with open(path, encoding="utf-8") as file:
        head, *sections = re.split(r"^## ", file.read(), flags=re.MULTILINE)
    new = f"{heading}\n\n{section}"
    names = [text.partition("\n")[0] for text in sections]
    if heading in names:
        sections[names.index(heading)] = new
    else:
        sections.append(new)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(text.rstrip("\n") + "\n" for text in [head, *(f"## {text}" for text in sections)]))


if __name__ == "__main__":
    main()
