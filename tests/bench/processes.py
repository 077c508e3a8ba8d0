"""Processes measured to their end, in turn: what read.py, explain.py and debug.py share. Standard library only.

A run is a tuple: seconds, CPU seconds, bytes resident. Each row of a benchmark is a name and a function that gives one.
"""

import os
import statistics
import subprocess
import sys
import time

import report

MIB = 1024 * 1024


def ended(usage, seconds):
    """The run of a process that was waited for."""
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def run(command, said=None, silent=(0, 1, 2)):
    """Runs a command to its end. `said` is typed into it; descriptors in `silent` are /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    first = null
    if said is not None:
        first, write_end = os.pipe()
        os.write(write_end, said.encode())
        os.close(write_end)
    actions = [(os.POSIX_SPAWN_DUP2, null if descriptor else first, descriptor) for descriptor in silent]
    start = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - start
    for descriptor in {null, first}:
        os.close(descriptor)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return ended(usage, seconds)


def measure(rows, rounds):
    """The median of each row, and all of its runs but the first."""
    taken = {name: [] for name in rows}
    for number in range(rounds + 1):
        for name, row in rows.items():
            print(f"round {number}/{rounds}: {name}", file=sys.stderr, flush=True)
            result = row()
            if number:
                taken[name].append(result)
    return {name: tuple(statistics.median(each[index] for each in runs) for index in range(3))
            for name, runs in taken.items()}, taken


def table(medians, taken):
    """The rows as a table."""
    rows = [["", "runs", "ms", "least-most ms", "CPU ms", "peak MiB"]]
    for name, (seconds, cpu, resident) in medians.items():
        each = [run[0] * 1000 for run in taken[name]]
        rows.append([name, str(len(each)), f"{seconds * 1000:.1f}", f"{min(each):.1f}-{max(each):.1f}",
                     f"{cpu * 1000:.1f}", f"{resident / MIB:.0f}"])
    return report.table(rows)


def goals(lines):
    """Each goal with whether it was reached, and what was: a list."""
    return "\n".join(f"- {'reached' if reached else 'MISSED'}: {goal}: {what}" for goal, reached, what in lines)


def arguments(parser, rounds):
    """The options of every benchmark."""
    parser.add_argument("--vmcorectl", required=True)
    parser.add_argument("--results", required=True, help="where --write writes")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--write", action="store_true")


def results(options, title, script, core, raw, facts, text):
    """Prints the results, and writes them if that is asked for."""
    print(text)
    if not options.write:
        return
    version = subprocess.run([options.vmcorectl, "--version"], capture_output=True, text=True, check=True).stdout
    sizes = f"{os.path.getsize(core) / MIB:.0f} MiB for {os.path.getsize(raw) / MIB:.0f} MiB"
    lines = [f"- Machine: {report.machine()}", f"- Core: the guest of `tests/bench/held-time`, {sizes}",
             *(f"- {fact}" for fact in facts),
             "- Medians of the runs. Each is a process of its own; the files are in the page cache."]
    with open(options.results, "w", encoding="utf-8") as file:
        file.write(f"# {title}\n\nWritten by `tests/bench/{script} --rounds {options.rounds} --write` on "
                   f"{time.strftime('%Y-%m-%d', time.gmtime())} with {version.strip()}.\n\n"
                   + "\n".join(lines) + f"\n\n{text}")
