#!/usr/bin/env python3
"""Compares two builds; the part of compare that watches the clock.

Needs a stored core with its metadata and, for what is measured of one, a panicked guest that samples/guest/boot started.
Standard library only.

How the verdict is reached:
- In each round OLD, NEW and OLD again do the same thing, in an order that changes from round to round: a machine that
  slows down slows all of them.
- The ratio is the median of NEW's times by the median of OLD's. Its interval has 95 % of the ratios that come out if
  the rounds are drawn anew from those measured (bootstrap).
- The noise is how far the ratio of OLD to itself, with its interval, is from 1: what this machine calls a difference where
  there is none.
- NEW is slower, or faster, if the whole interval is on that side of 1 and the ratio is further from 1 than the noise,
  and than 1 %. Otherwise no difference is shown.
"""

import argparse
import os
import random
import statistics
import sys
import types

import measure
import read
import report

# The least difference that counts.
LEAST = 0.01
DRAWS = 2000


class Timer:
    """Runs what is measured, with one of the programs."""

    def __init__(self, options):
        self.offline = read.Bench(types.SimpleNamespace(folder=options.folder, vmcorectl=None))
        self.held = self.socket = None
        if options.dir:
            self.held = measure.Bench(types.SimpleNamespace(dir=options.dir, out=options.out, vmcorectl=None))
            self.socket = os.path.join(options.dir, "qmp.sock")

    def capture(self, program):
        self.held.options.vmcorectl = program
        return self.held.vmcorectl().held

    def command(self, *arguments):
        return lambda program: self.offline.run([program, *arguments])[0]

    def rows(self):
        """Names, what gives the seconds, and how many rounds for each round of captures."""
        core = self.offline.core
        held = {
            "held time of a capture": (self.capture, 1),
            "report of a held guest": (self.command("report", self.socket), 2),
        }
        return (held if self.held else {}) | {
            "report": (self.command("report", core), 4),
            "dmesg": (self.command("dmesg", core), 8),
            "info": (self.command("info", core), 8),
            f"list, {read.ENTRIES} entries": (self.command("list", "--store", self.offline.path("store")), 2),
            "verify": (self.command("verify", core), 2),
        }


def rounds(action, programs, count):
    """Seconds of each program in each round. The first round does not count: it fills the page cache."""
    taken = []
    for number in range(count + 1):
        turn = number % len(programs)
        order = [*range(turn, len(programs)), *range(turn)]
        if number // len(programs) % 2:
            order.reverse()
        seconds = dict.fromkeys(order)
        for index in order:
            seconds[index] = action(programs[index])
        if number:
            taken.append([seconds[index] for index in range(len(programs))])
    return taken


def ratio(taken, over, under):
    return (statistics.median(each[over] for each in taken) / statistics.median(each[under] for each in taken))


def interval(taken, over, under):
    """Where the ratio is with 95 % of drawn rounds. The draws are the same in each run."""
    draw = random.Random(1)
    drawn = sorted(ratio(draw.choices(taken, k=len(taken)), over, under) for _ in range(DRAWS))
    return drawn[DRAWS // 40], drawn[-DRAWS // 40]


def verdict(value, low, high, noise):
    least = max(noise, LEAST)
    if low > 1 and value > 1 + least:
        return "SLOWER"
    if high < 1 and value < 1 - least:
        return "faster"
    return "no difference"


def compare(timer, options):
    programs = [options.old, options.new, options.old]
    heads = ["", "rounds", "OLD ms", "NEW ms", "NEW / OLD", "interval", "noise", "verdict"]
    table, slower = [heads], []
    for name, (action, times) in timer.rows().items():
        if options.only and not any(part in name for part in options.only):
            continue
        count = options.rounds * times
        print(f"{name}: {count} rounds", file=sys.stderr, flush=True)
        taken = rounds(action, programs, count)
        value, (low, high) = ratio(taken, 1, 0), interval(taken, 1, 0)
        noise = max(abs(1 - edge) for edge in (ratio(taken, 2, 0), *interval(taken, 2, 0)))
        said = verdict(value, low, high, noise)
        if said == "SLOWER":
            slower.append(name)
        medians = [statistics.median(each[index] for each in taken) * 1000 for index in (0, 1)]
        table.append([name, str(count), *(f"{each:.1f}" for each in medians), f"{value:.3f}", f"{low:.3f}-{high:.3f}",
                      f"{noise:.3f}", said])
    return table, slower


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", help="folder of the guest, as samples/guest/boot made it")
    parser.add_argument("--out", help="empty folder for the dumps")
    parser.add_argument("--folder", required=True, help="where core.elf.zst is, and the store for list")
    parser.add_argument("--old", required=True)
    parser.add_argument("--new", required=True)
    parser.add_argument("--rounds", type=int, default=7, help="of captures; commands have more")
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    timer = Timer(options)
    read.keep_store(timer.offline)
    table, slower = compare(timer, options)
    print(f"- Machine: {report.machine()}\n- OLD: {options.old}\n- NEW: {options.new}\n\n{report.table(table)}")
    if slower:
        sys.exit(f"compare: NEW is slower: {', '.join(slower)}")


if __name__ == "__main__":
    main()
