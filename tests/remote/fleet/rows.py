#!/usr/bin/env python3
"""rows.py: rows of many crashes in a store's table, varied from real ones.

Usage: rows.py ROWS EXPLAINED COUNT STORE [DAYS]. ROWS has a line with the row of each stored core, EXPLAINED the answers
of `explain --jsonl` to real logs. The same arguments make the same rows, the last of them on 2026-11-24.
"""

import datetime
import json
import pathlib
import random
import sys

KERNELS = ["5.10.0-28-amd64", "6.1.0-50-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.0-3-amd64"]
END = datetime.datetime(2026, 11, 24, 23, 0, 0, tzinfo=datetime.timezone.utc)


def stamp(time):
    return time.isoformat().replace("+00:00", "Z")


def made(count, rows, explained, days):
    chance = random.Random(count)
    # Those whose signature is strong are the frequent ones.
    bugs = sorted((crash for crash in explained if crash["signature"]), key=lambda crash: crash["weak"])
    for number in range(count):
        row = json.loads(chance.choice(rows))
        time = END - datetime.timedelta(seconds=chance.randrange(days * 86400), microseconds=chance.randrange(10**6))
        guest = chance.randrange(max(count // 15, 4))
        # Two guests of a pair have one disk.
        if number % 25 == 1:
            time, guest = last[0] + datetime.timedelta(seconds=chance.randrange(240)), last[1] ^ 1
        last = (time, guest)
        # A few signatures are frequent, most are rare, and some are new. Each kernel comes some days after the one before.
        share = 1 - (END - time).total_seconds() / (days * 86400)
        rank = min(int(chance.paretovariate(0.7)) - 1, len(bugs) - 1)
        bug = bugs[rank if share >= rank % 10 / 10 else 0]
        kernel = KERNELS[min(int(share * 4 * chance.uniform(0.7, 1)), 3)]
        row["id"] = "%s-%08x" % (time.strftime("%Y%m%dT%H%M%SZ"), number)
        row["guest"] = "guest-%d" % guest
        row["entry"] = "guest-%d/%s" % (guest, row["id"])
        row["host"] = "host-%d" % (guest // 4)
        row["time"], row["time_nanoseconds"] = stamp(time), chance.choice([None, 1, 999])
        row["kernel"]["release"] = kernel
        for field in ("title", "alt_titles", "kind", "type", "module", "signature", "variant", "weak"):
            row[field] = bug[field]
        row["function"] = bug["frame"]
        row["held_seconds"] = round(chance.uniform(0.2, 9), 3)
        row["core_bytes"] = chance.randrange(10**6, 10**10)
        row["cpus"] = row["cpus"][: chance.randrange(1, 3)]
        modules = row["modules"]
        row["modules"] = [module for module in modules if chance.random() < 0.5]
        if rank % 7 == 3 and modules:
            row["modules"].append({**modules[0], "name": "suspect_%d" % (rank % 5)})
        yield row


def main(rows, explained, count, store, days="50"):
    rows = pathlib.Path(rows).read_text().splitlines()
    explained = [json.loads(line) for line in pathlib.Path(explained).read_text().splitlines()]
    for row in made(int(count), rows, explained, int(days)):
        folder = pathlib.Path(store, "index", "new", "day=" + row["time"][:10])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / (row["id"] + ".json")).write_text(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
