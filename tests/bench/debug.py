#!/usr/bin/env python3
"""Measures the way to a debugger's prompt; the part of debugging that watches the clock.

Needs a compressed core, the same unpacked, and the kernel's own vmlinux. Standard library only.

What is measured, and how:
- To the first prompt: from the start of the process to the prompt of the debugger, at a terminal of its own. CPU time is that of
  the process and all that it started and waited for, up to its end.
- With nothing cached, the cache's directory is removed before each run; with the cache, one run before has filled it.
- Other commands: time of the whole process; CPU and peak memory: rusage of that process. A peak below this script's own, some
  12 MiB, is not seen. What they print goes to /dev/null.
- Each command runs once before the rounds, so that what it reads is in the page cache. Commands take turns.
"""

import argparse
import os
import pty
import select
import shutil
import signal
import sys
import time

import processes
from processes import MIB, run

PROMPTS = {"drgn": b">>> ", "crash": b"crash> "}
PATIENCE = 300
ELF = "vmcorectl symbols --format elf"
PRINT = "vmcorectl print task_struct init_task"
VARIABLE = "vmcorectl print init_task.comm"


def end(command, why):
    sys.exit(f"debug: {' '.join(command)}: {why}")


def to_prompt(command, prompt, needs):
    """The run of a command up to a prompt. What is in `needs` has to be said before it."""
    start = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "dumb"
        os.execvp(command[0], command)
    seen = b""
    seconds = None
    while True:
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        try:
            some = os.read(terminal, 1 << 16) if ready else b""
        except OSError:
            some = b""
        if not some:
            break
        seen += some
        if seconds is None and seen.endswith(prompt):
            seconds = time.monotonic() - start
            os.write(terminal, b"quit()\n" if prompt == PROMPTS["drgn"] else b"quit\n")
    if seconds is None:
        os.kill(pid, signal.SIGKILL)
    _, _, usage = os.wait4(pid, 0)
    os.close(terminal)
    if seconds is None or needs not in seen:
        end(command, seen.decode("utf-8", "replace"))
    return processes.ended(usage, seconds)


class Bench:
    """The rows: a name, and what is done for it."""

    def __init__(self, options):
        self.options = options
        self.cache = os.path.join(options.folder, "cache")
        self.file = os.path.join(options.folder, "vmlinux")
        os.environ["XDG_CACHE_HOME"] = self.cache
        os.environ["PATH"] = os.path.dirname(options.drgn) + ":" + os.environ["PATH"]
        os.environ["DEBUGINFOD_URLS"] = ""
        # crash pages its output at a terminal, and drgn colours it.
        os.environ["HOME"] = options.folder
        os.environ["CRASHPAGER"] = "cat"

    def symbols(self):
        if os.path.exists(self.file):
            os.unlink(self.file)
        return run([self.options.vmcorectl, "symbols", self.options.core, "-o", self.file])

    def debug(self, debugger, fresh):
        if fresh:
            shutil.rmtree(self.cache, ignore_errors=True)
        os.makedirs(self.cache, exist_ok=True)
        command = [self.options.vmcorectl, "debug", self.options.core, "--with", debugger]
        return to_prompt(command, PROMPTS[debugger], b"made out of the core")

    def with_symbols(self, debugger):
        raw, vmlinux = self.options.raw, self.options.vmlinux
        command = [self.options.drgn, "-c", raw, "-s", vmlinux] if debugger == "drgn" else ["crash", vmlinux, raw]
        return to_prompt(command, PROMPTS[debugger], b"")

    def rows(self):
        tool, core = self.options.vmcorectl, self.options.core
        rows = {
            "a process that does nothing": lambda: run(["true"]),
            ELF: self.symbols,
            PRINT: lambda: run([tool, "print", core, "task_struct", "init_task"]),
            VARIABLE: lambda: run([tool, "print", core, "init_task.comm"]),
        }
        for debugger in PROMPTS:
            if not shutil.which(debugger):
                print(f"debug: without {debugger}: its program is missing", file=sys.stderr)
                continue
            rows[f"{debugger}, nothing cached"] = lambda debugger=debugger: self.debug(debugger, True)
            rows[f"{debugger}, from the cache"] = lambda debugger=debugger: self.debug(debugger, False)
            rows[f"{debugger} of the raw file, with the kernel's own vmlinux"] = (
                lambda debugger=debugger: self.with_symbols(debugger))
        return rows


def goals(medians, length):
    """What is to be reached, and what was."""
    seconds, _, resident = medians[ELF]
    lines = [
        ("a vmlinux of the compressed core in at most 0.5 s", seconds <= 0.5, f"{seconds:.2f} s"),
        ("with at most 250 MiB", resident <= 250 * MIB, f"{resident / MIB:.0f} MiB"),
        ("and in at most 60 MB", length <= 60e6, f"{length / 1e6:.1f} MB"),
    ]
    for name in (PRINT, VARIABLE):
        taken = medians[name][0]
        lines.append((f"`{name}` in at most 30 ms", taken <= 0.030, f"{taken * 1000:.1f} ms"))

    def compare(debugger, fresh, factor, goal):
        names = [f"{debugger}, nothing cached" if fresh else f"{debugger}, from the cache",
                 f"{debugger} of the raw file, with the kernel's own vmlinux"]
        if all(name in medians for name in names):
            made, own = (medians[name][0] for name in names)
            lines.append((goal, made <= own * factor, f"{made:.2f} s of {own:.2f} s ({made / own:.2f})"))

    compare("drgn", True, 3, "drgn's prompt with nothing cached in at most 3 times the time with the kernel's own vmlinux")
    compare("drgn", False, 1, "and from the cache in less than that time")
    compare("crash", True, 1, "crash's prompt with nothing cached sooner than with the kernel's own vmlinux")
    return processes.goals(lines)


def main():
    parser = argparse.ArgumentParser()
    for name in ("--core", "--raw", "--vmlinux", "--drgn", "--folder"):
        parser.add_argument(name, required=True)
    processes.arguments(parser, rounds=7)
    options = parser.parse_args()
    bench = Bench(options)
    medians, taken = processes.measure(bench.rows(), options.rounds)
    # Its length is what others copy: holes count.
    text = f"{processes.table(medians, taken)}\n\n{goals(medians, os.path.getsize(bench.file))}\n"
    facts = [f"The kernel's own vmlinux: {os.path.getsize(options.vmlinux) / MIB:.0f} MiB"]
    processes.results(options, "To a debugger's prompt", "debugging", options.core, options.raw, facts, text)


if __name__ == "__main__":
    main()
