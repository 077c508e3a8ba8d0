#!/usr/bin/env python3
"""triage-dask.py: makes the reports of all crashes of a store anew, on the workers of a Dask cluster.

Needs: dask[distributed], and vmcorectl and the store's credentials on each worker.
Usage: triage-dask.py FROM OUT [SHARDS [SCHEDULER]]. Without a scheduler's address, two processes of this machine work.
Gives: exit code 0 if each shard has all of its lines. Run it again to do what is missing.
"""

import subprocess
import sys

from dask.distributed import Client, LocalCluster, as_completed


def triage(shard, shards, source, out):
    """One shard: its number, exit code, and what it printed."""
    command = ["vmcorectl", "triage", "--shard", f"{shard}/{shards}", "--from", source, "--out", out]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return shard, ran.returncode, ran.stdout


def main(source, out, shards="8", scheduler=None):
    shards = int(shards)
    cluster = scheduler or LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
    failed = 0
    with Client(cluster) as client:
        tasks = [client.submit(triage, shard, shards, source, out, pure=False) for shard in range(shards)]
        for task in as_completed(tasks):
            shard, code, text = task.result()
            print(f"{shard}/{shards}: {code}: {text.strip()}")
            failed += code != 0
    return 1 if failed else 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
