#!/usr/bin/env python3
"""judges.py: other programs read a store's table, and answer what samples/fleet asks.

Usage: judges.py STORE ROWS LISTED. ROWS has the rows as they were before they were compacted, LISTED is what
`list --json` prints of the store. Gives: exit code 0 if pyarrow, DuckDB, DataFusion and Dask read the same.
"""

import collections
import datetime
import json
import pathlib
import sys

import dask.bag
import datafusion
import duckdb
import pyarrow.parquet

TIMES = ("time", "panicked")


def plain(value):
    """A value of a row as JSON has it. All of them have times in UTC."""
    if isinstance(value, datetime.datetime):
        assert value.utcoffset() == datetime.timedelta(0), value
        return value.astimezone(datetime.timezone.utc)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def of_json(line):
    row = json.loads(line)
    for field in TIMES:
        if row[field] is not None:
            row[field] = datetime.datetime.fromisoformat(row[field].replace("Z", "+00:00"))
    return row


def same(name, expected, found):
    for one, other in zip(expected, found):
        for key in sorted({*one, *other} - {"day"}):
            assert one.get(key) == other.get(key), f"{name}: {one.get('id')}: {key}: {one.get(key)!r} {other.get(key)!r}"
    assert len(expected) == len(found), f"{name}: {len(expected)} rows, and {len(found)}"
    print(f"{name}: {len(found)} alike")


def by_id(rows):
    """One row of each id: a part may be there twice."""
    return [row for _, row in sorted({row["id"]: row for row in map(plain, rows)}.items())]


# ---- what samples/fleet asks, answered by plain loops ----------------------------------------------------------------


def counted(rows, key):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def most(rows, field):
    return max(filter(None, (row[field] for row in rows)), default=None)


def top_signatures(rows):
    since = max(row["time"] for row in rows) - datetime.timedelta(days=7)
    wanted = [row for row in rows if row["signature"] and row["weak"] is False and row["time"] >= since]
    answer = [
        (
            signature,
            most(of, "title"),
            len(of),
            len({row["guest"] for row in of}),
            len({row["host"] for row in of}),
            min(row["time"] for row in of),
            max(row["time"] for row in of),
        )
        for signature, of in counted(wanted, lambda row: row["signature"]).items()
    ]
    return sorted(answer, key=lambda line: (-line[2], line[0]))[:20]


def new_after_roll_out(rows):
    since = max(row["time"] for row in rows) - datetime.timedelta(days=14)
    rolled_out = {
        release: min(row["time"] for row in of) for release, of in counted(rows, lambda row: row["kernel"]["release"]).items()
    }
    answer = []
    strong = [row for row in rows if row["signature"] and row["weak"] is False]
    for signature, of in counted(strong, lambda row: row["signature"]).items():
        first = min(row["time"] for row in of)
        everywhere = [row for row in rows if row["signature"] == signature]
        for release, there in counted(everywhere, lambda row: row["kernel"]["release"]).items():
            if release and rolled_out[release] >= since and first >= rolled_out[release]:
                answer.append((release, rolled_out[release], signature, most(of, "title"), first, len(there)))
    return sorted(answer, key=lambda line: (-line[5], line[2], line[0]))


def crash_together(rows):
    near, pairs = datetime.timedelta(minutes=5), collections.defaultdict(set)
    ordered = sorted((row for row in rows if row["guest"]), key=lambda row: row["time"])
    for at, one in enumerate(ordered):
        for other in ordered[at + 1 :]:
            if other["time"] - one["time"] > near:
                break
            for first, second in ((one, other), (other, one)):
                if first["guest"] < second["guest"]:
                    pairs[first["guest"], second["guest"]].add((first["id"], first["time"]))
    answer = [(*pair, len(of), max(time for _, time in of)) for pair, of in pairs.items() if len(of) > 1]
    return sorted(answer, key=lambda line: (-line[2], line[0], line[1]))[:50]


def over_represented_modules(rows):
    wanted = [row for row in rows if row["signature"]]
    loaded = {(row["signature"], row["id"], module["name"]) for row in wanted for module in row["modules"]}
    signatures = collections.Counter(row["signature"] for row in wanted)
    modules = collections.Counter(module for _, _, module in loaded)
    both = collections.Counter((signature, module) for signature, _, module in loaded)
    answer = []
    for (signature, module), count in both.items():
        of = signatures[signature]
        lift = (count * 1.0 / of) / (modules[module] * 1.0 / len(wanted))
        if of >= 5 and lift >= 2:
            answer.append((signature, module, count, of, round(lift, 2)))
    return sorted(answer, key=lambda line: (-line[4], line[0], line[1]))[:50]


ANSWERS = {
    "top-signatures": top_signatures,
    "new-after-roll-out": new_after_roll_out,
    "crash-together": crash_together,
    "over-represented-modules": over_represented_modules,
}


def answered(name, expected, found):
    """Lifts of the same size are in any order; they differ in the last digit between programs."""
    numbers = [[value for value in line if isinstance(value, float)] for line in expected]
    found_numbers = [[value for value in line if isinstance(value, float)] for line in found]
    for one, other in zip(sum(numbers, []), sum(found_numbers, [])):
        assert abs(one - other) <= 0.011, f"{name}: {one} {other}"
    without = lambda lines: sorted(tuple(str(value) for value in line if not isinstance(value, float)) for line in lines)
    assert without(expected) == without(found), f"{name}:\n{without(expected)}\n{without(found)}"
    print(f"{name}: {len(found)} lines")


def main(store, rows, listed):
    rows = by_id(of_json(line) for line in pathlib.Path(rows).read_text().splitlines())
    files = sorted(map(str, pathlib.Path(store).glob("index/crashes/*/*.parquet")))
    read = [row for file in files for row in pyarrow.parquet.ParquetFile(file).read().to_pylist()]
    same("pyarrow", rows, by_id(read))
    assert len(read) > len(rows), "no row is there twice"

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"CREATE VIEW crashes AS SELECT * FROM read_parquet('{store}/index/crashes/*/*.parquet', hive_partitioning = true)"
    )
    cursor = connection.execute("SELECT * FROM crashes")
    names = [column[0] for column in cursor.description]
    same("DuckDB", rows, by_id(dict(zip(names, line)) for line in cursor.fetchall()))

    fusion = datafusion.SessionContext()
    fusion.sql(f"CREATE EXTERNAL TABLE crashes STORED AS PARQUET LOCATION '{store}/index/crashes/'")
    table = fusion.sql("SELECT * FROM crashes").to_pylist()
    same("DataFusion", rows, by_id(table))

    def signatures(file):
        found = pyarrow.parquet.ParquetFile(file).read(columns=["id", "signature"]).to_pylist()
        return [(row["id"], row["signature"]) for row in found]

    counts = dask.bag.from_sequence(files).map(signatures).flatten().distinct().map(lambda pair: pair[1]).frequencies()
    expected = collections.Counter(row["signature"] for row in rows)
    assert dict(counts.compute(scheduler="threads")) == dict(expected)
    print(f"Dask: {len(expected)} signatures")

    lines = [json.loads(line) for line in pathlib.Path(listed).read_text().splitlines()]
    lines.sort(key=lambda line: line["id"])
    for row, line in zip(rows, lines, strict=True):
        for of_row, of_line in (("id", "id"), ("guest", "guest"), ("title", "title"), ("signature", "signature"),
                                ("core_bytes", "core_bytes"), ("held_seconds", "held_seconds"), ("state", "state")):
            assert row[of_row] == line[of_line], (of_row, row["id"], row[of_row], line[of_line])
        assert row["kernel"]["release"] == line["kernel"], line
        assert line["time"].startswith(row["time"].strftime("%Y-%m-%dT%H:%M:%S")), line
    print(f"list: {len(lines)} alike")

    for name, answer in ANSWERS.items():
        query = pathlib.Path(__file__).parents[3].joinpath("samples", "fleet", name + ".sql").read_text()
        expected = answer(rows)
        assert expected, f"{name}: nothing is expected"
        answered(f"{name} by DuckDB", expected, [tuple(map(plain, line)) for line in connection.execute(query).fetchall()])
        found = fusion.sql(query).to_pylist()
        answered(f"{name} by DataFusion", expected, [tuple(map(plain, line.values())) for line in found])


if __name__ == "__main__":
    main(*sys.argv[1:])
