#!/usr/bin/env python3
"""Measures what it takes to say what happened; the part of explaining that watches the clock.

Needs a compressed core, the same unpacked, and the sockets of held guests. Standard library only.

What is measured, and how:
- Time: of the whole process, from its start to its end, as a median of the rounds. What it prints goes to /dev/null.
- CPU and peak memory: rusage of that process and of those that it waited for. A peak below this script's own, some
  12 MiB, is not seen.
- Each command runs once before the rounds, so that what it reads is in the page cache. Commands take turns.
- The log of 3,500 records is made of the logs in tests/corpus, one after the other, and ends with a panic's: nothing but
  crash reports, where a guest's log is mostly what is none.
- drgn and crash read the unpacked core and the kernel's debug symbols, and are asked for less: the log's end, the
  stacks of the CPUs, the tasks and the modules.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

import processes
from processes import MIB

RECORDS = 3500
TRIAGE = f"vmcorectl explain of a log of {RECORDS} records"


def write_log(corpus, path):
    """A log of RECORDS lines, the last of them those of a panic."""
    unpacked = subprocess.run(["zstd", "-dcq", corpus], capture_output=True, check=True).stdout
    logs = [json.loads(line) for line in unpacked.splitlines()]
    last = next(log for log in logs if log["panicked"] and not log["corrupted"])
    end = last["log"].splitlines()
    lines = [line for log in logs if log is not last for line in log["log"].splitlines()]
    with open(path, "w", encoding="utf-8") as log:
        log.write("\n".join(lines[:RECORDS - len(end)] + end) + "\n")


def commands(options):
    """The rows: a name, a command, and what is typed into it."""
    tool, core = options.vmcorectl, options.core
    rows = {
        "a process that does nothing": (["true"], None),
        "vmcorectl report": ([tool, "report", core], None),
        "vmcorectl report --format html": ([tool, "report", core, "--format", "html"], None),
    }
    write_log(options.corpus, options.log)
    rows[TRIAGE] = ([tool, "explain", "--log", options.log], None)
    for guest in options.guest:
        memory, socket = guest.split("=", 1)
        rows[f"vmcorectl report of a held guest of {memory}"] = ([tool, "report", socket], None)
    symbols = os.path.exists(options.vmlinux)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "explain_drgn.py")
    if symbols and os.path.exists(options.drgn):
        rows["drgn, with symbols, of the raw file"] = (
            [options.drgn, "-q", "-c", options.raw, "-s", options.vmlinux, script], None)
    else:
        print("explain: without drgn: its program or the symbols are missing", file=sys.stderr)
    if symbols and shutil.which("crash"):
        rows["crash, with symbols, of the raw file"] = (
            ["crash", "-s", options.vmlinux, options.raw], "bt -a\nps\nlog\nmod\nquit\n")
    else:
        print("explain: without crash: its program or the symbols are missing", file=sys.stderr)
    return rows


def goals(medians):
    """What is to be reached, and what was."""
    seconds, _, resident = medians["vmcorectl report"]
    lines = [
        ("a report of the compressed core in at most 100 ms", seconds <= 0.100, f"{seconds * 1000:.0f} ms"),
        ("and with at most 150 MiB", resident <= 150 * MIB, f"{resident / MIB:.0f} MiB"),
    ]
    seconds = medians[TRIAGE][0]
    lines.append((f"{TRIAGE} in at most 5 ms", seconds <= 0.005, f"{seconds * 1000:.1f} ms"))
    held = {name: run[0] for name, run in medians.items() if "held guest" in name}
    for name, taken in held.items():
        lines.append((f"{name} in at most 500 ms", taken <= 0.500, f"{taken * 1000:.0f} ms"))
    if len(held) > 1:
        least, most = min(held.values()), max(held.values())
        lines.append(("the size of a held guest does not matter", most <= least * 1.25,
                      f"{least * 1000:.0f} to {most * 1000:.0f} ms"))
    return processes.goals(lines)


def main():
    parser = argparse.ArgumentParser()
    for name in ("--core", "--raw", "--vmlinux", "--drgn", "--corpus", "--log"):
        parser.add_argument(name, required=True)
    parser.add_argument("--guest", action="append", default=[], help="SIZE=SOCKET of a held guest")
    processes.arguments(parser, rounds=7)
    options = parser.parse_args()
    rows = {name: lambda command=command, said=said: processes.run(command, said)
            for name, (command, said) in commands(options).items()}
    medians, taken = processes.measure(rows, options.rounds)
    text = f"{processes.table(medians, taken)}\n\n{goals(medians)}\n"
    facts = [
        "Held guests: of 4 and of 12 GiB, under software emulation; nothing of them is written",
        "drgn and crash read the unpacked file and the kernel's debug symbols, and print less",
        f"The log of {RECORDS} records: the logs in `tests/corpus`, one after the other, and a panic's as its end",
    ]
    processes.results(options, "Saying what happened", "explaining", options.core, options.raw, facts, text)


if __name__ == "__main__":
    main()
