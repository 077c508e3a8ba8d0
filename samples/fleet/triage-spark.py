#!/usr/bin/env python3
"""triage-spark.py: makes the reports of all crashes of a store anew, on the executors of a Spark cluster.

Needs: pyspark, and vmcorectl and the store's credentials on each executor.
Usage: spark-submit triage-spark.py FROM OUT [SHARDS]. The master is that of spark-submit.
Gives: exit code 0 if each shard has all of its lines. Run it again to do what is missing.
"""

import subprocess
import sys


def triage(shard, shards, source, out):
    """One shard: its number, exit code, and what it printed."""
    command = ["vmcorectl", "triage", "--shard", f"{shard}/{shards}", "--from", source, "--out", out]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return shard, ran.returncode, ran.stdout


def main(source, out, shards="64"):
    from pyspark.sql import SparkSession

    shards = int(shards)
    spark = SparkSession.builder.appName("vmcorectl-triage").getOrCreate()
    # A task for each shard.
    numbers = spark.sparkContext.parallelize(range(shards), shards)
    failed = 0
    for shard, code, text in numbers.map(lambda shard: triage(shard, shards, source, out)).collect():
        print(f"{shard}/{shards}: {code}: {text.strip()}")
        failed += code != 0
    spark.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
