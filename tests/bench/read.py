#!/usr/bin/env python3
"""Measures the offline commands on a stored core; the part of reading that watches the clock.

Needs core.elf.zst, as a capture wrote it, and core.elf, the same unpacked. Standard library only.

What is measured, and how:
- Time: of the whole process, from its start to its end, as a median of the rounds. What it prints goes to a file
  in memory or to /dev/null, as the row says. Starting a process that does nothing is in the first row.
- CPU and peak memory: rusage of that process. A peak below this script's own, some 12 MiB, is not seen.
- Each command runs once before the rounds, so that what it reads is in the page cache. Commands take turns.
"""

import argparse
import datetime
import json
import os
import struct
import subprocess

import processes
from processes import MIB

GIB = 1024 * MIB
PAGE = 4096
ENTRIES = 10_000
LIST = f"vmcorectl list, {ENTRIES} entries"


def clear(output):
    """Removes what a command wrote, and the metadata and the report beside it."""
    for path in [output, f"{output}.json", f"{output}.report.json"] if output else []:
        if os.path.exists(path):
            os.unlink(path)


class Bench:
    """The files, and how a command is run on them."""

    def __init__(self, options):
        self.options = options
        self.folder = options.folder
        self.core = self.path("core.elf.zst")
        self.raw = self.path("core.elf")

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, command, remove=None):
        """Seconds, CPU seconds, bytes resident."""
        clear(remove)
        # What others wrote is not to be on its way to the disk meanwhile.
        os.sync()
        result = processes.run(command, silent=(0, 1))
        clear(remove)
        return result


def repetitive(path):
    """An ELF core of 4 GiB: zeros, and pages that repeat, a quarter of a GiB of each in turn."""
    pages = [bytes((number * 37 + at * 11) % 251 for at in range(64)) * (PAGE // 64) for number in range(8)]
    head = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 4, 0, 64 + 2 * 56, 0, 0, 0, 0, 4)
    head += struct.pack("<IIQQQQQQ", 1, 0, PAGE, 0, 0, 4 * GIB, 4 * GIB, 0)
    with open(path, "wb") as core:
        core.write(head)
        for part in range(16):
            core.seek(PAGE + part * GIB // 4)
            # In small writes: what this process ever held is inherited as the peak of those that it starts.
            for _ in range(GIB // 4 // PAGE // len(pages) if part % 2 else 0):
                core.write(b"".join(pages))
        core.truncate(PAGE + 4 * GIB)


def store(path, told, count):
    """A store of so many entries, each with the metadata of a capture and without a core."""
    with open(told, encoding="utf-8") as text:
        metadata = json.load(text)
    for number in range(count):
        time_of = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=number)
        guest, name = f"guest-{number % 50}", f"{time_of:%Y%m%dT%H%M%SZ}-{number:08x}"
        entry = os.path.join(path, guest, name)
        os.makedirs(entry, exist_ok=True)
        metadata.update(id=name, started=f"{time_of:%Y-%m-%dT%H:%M:%SZ}")
        metadata["guest"]["name"] = guest
        with open(os.path.join(entry, "metadata.json"), "w", encoding="utf-8") as text:
            json.dump(metadata, text, indent=2)
        with open(os.path.join(entry, "vmcore.elf.zst"), "wb"):
            pass


def keep_store(bench):
    """Makes that store, unless it is there."""
    if not os.path.exists(bench.path("store")):
        store(bench.path("store.part"), f"{bench.core}.json", ENTRIES)
        os.rename(bench.path("store.part"), bench.path("store"))


def commands(bench):
    """The rows: a name, a command, and what it must not find there."""
    tool, core, raw, out = bench.options.vmcorectl, bench.core, bench.raw, bench.path("out")
    same = bench.path("repetitive.elf.zst")
    nowhere = "text that no guest has in its memory"
    return {
        "a process that does nothing": (["true"], None),
        "vmcorectl info": ([tool, "info", core], None),
        "vmcorectl dmesg": ([tool, "dmesg", core], None),
        "makedumpfile --dump-dmesg of the raw file": (["makedumpfile", "--dump-dmesg", raw, out], out),
        "vmcorectl regs": ([tool, "regs", core], None),
        "vmcorectl read, a page": ([tool, "read", core, "1000000", "4096"], None),
        LIST: ([tool, "list", "--store", bench.path("store")], None),
        "vmcorectl verify": ([tool, "verify", core], None),
        "zstd -T0 -t": (["zstd", "-q", "-T0", "-t", core], None),
        "vmcorectl export --format elf": ([tool, "export", core, "--format", "elf", "-o", out], out),
        "zstd -T0 -d": (["zstd", "-q", "-T0", "-d", core, "-o", out], out),
        "vmcorectl export --format kdump-zstd": ([tool, "export", core, "--format", "kdump-zstd", "-o", out], out),
        "vmcorectl import": ([tool, "import", raw, "--output", out], out),
        "vmcorectl search": ([tool, "search", core, nowhere], None),
        "grep -c of the raw file": (["sh", "-c", f"LC_ALL=C grep -c -a -F '{nowhere}' '{raw}'; true"], None),
        "vmcorectl search --threads 1, zeros and repeated pages": (
            [tool, "search", same, nowhere, "--threads", "1"], None),
    }


def goals(medians, program_bytes):
    """What is to be reached, and what was."""
    seconds = {name: run[0] for name, run in medians.items()}
    rate = 4 / seconds["vmcorectl search --threads 1, zeros and repeated pages"]
    peak = max((run[2], name) for name, run in medians.items() if name.startswith("vmcorectl"))
    lines = [
        ("`dmesg` in at most 20 ms", seconds["vmcorectl dmesg"] <= 0.020,
         f"{seconds['vmcorectl dmesg'] * 1000:.1f} ms; makedumpfile on the raw file "
         f"{seconds['makedumpfile --dump-dmesg of the raw file'] * 1000:.1f} ms"),
        ("`info` in at most 10 ms", seconds["vmcorectl info"] <= 0.010, f"{seconds['vmcorectl info'] * 1000:.1f} ms"),
        ("`verify` at least as fast as `zstd -T0 -d`", seconds["vmcorectl verify"] <= seconds["zstd -T0 -d"],
         f"{seconds['vmcorectl verify']:.2f} s of {seconds['zstd -T0 -d']:.2f} s (`zstd -t` {seconds['zstd -T0 -t']:.2f} s)"),
        ("`export --format elf` at least as fast as `zstd -T0 -d`",
         seconds["vmcorectl export --format elf"] <= seconds["zstd -T0 -d"],
         f"{seconds['vmcorectl export --format elf']:.2f} s of {seconds['zstd -T0 -d']:.2f} s"),
        ("`search` over zeros and repeated pages at 2 GiB/s a core", rate >= 2, f"{rate:.1f} GiB/s"),
        (f"`list` of {ENTRIES} entries in under a second", seconds[LIST] < 1, f"{seconds[LIST]:.2f} s"),
        ("the program in at most 14 MB", program_bytes <= 14_000_000, f"{program_bytes / 1e6:.1f} MB"),
        ("under 200 MiB resident everywhere", peak[0] < 200 * MIB, f"{peak[0] / MIB:.0f} MiB ({peak[1]})"),
    ]
    return processes.goals(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True, help="where core.elf.zst and core.elf are")
    processes.arguments(parser, rounds=5)
    options = parser.parse_args()
    bench = Bench(options)
    same = bench.path("repetitive.elf.zst")
    if not os.path.exists(same):
        repetitive(bench.path("repetitive.elf"))
        subprocess.run([options.vmcorectl, "import", bench.path("repetitive.elf"), "--output", same], check=True)
        os.unlink(bench.path("repetitive.elf"))
    keep_store(bench)
    rows = {name: lambda command=command, remove=remove: bench.run(command, remove)
            for name, (command, remove) in commands(bench).items()}
    medians, taken = processes.measure(rows, options.rounds)
    text = f"{processes.table(medians, taken)}\n\n{goals(medians, os.path.getsize(options.vmcorectl))}\n"
    processes.results(options, "Reading a stored core", "reading", bench.core, bench.raw, [], text)


if __name__ == "__main__":
    main()
