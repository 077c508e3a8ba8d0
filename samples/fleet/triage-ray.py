#!/usr/bin/env python3
"""triage-ray.py: makes the reports of all crashes of a store anew, on the nodes of a Ray cluster.

Needs: ray, and vmcorectl and the store's credentials on each node.
Usage: triage-ray.py FROM OUT [SHARDS [ADDRESS]]. Without a cluster's address, two processes of this machine work.
Gives: exit code 0 if each shard has all of its lines. Run it again to do what is missing.
"""

import subprocess
import sys

import ray


@ray.remote(num_cpus=1, max_retries=3)
def triage(shard, shards, source, out):
    """One shard: its number, exit code, and what it printed."""
    command = ["vmcorectl", "triage", "--shard", f"{shard}/{shards}", "--from", source, "--out", out]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return shard, ran.returncode, ran.stdout


def main(source, out, shards="8", address=None):
    shards = int(shards)
    if address:
        ray.init(address=address)
    else:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    failed, running = 0, [triage.remote(shard, shards, source, out) for shard in range(shards)]
    while running:
        done, running = ray.wait(running)
        for shard, code, text in ray.get(done):
            print(f"{shard}/{shards}: {code}: {text.strip()}")
            failed += code != 0
    ray.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
