#!/usr/bin/env python3
"""manifest.py: prints the command of the one container of a Kubernetes Job, a word a line.

Usage: manifest.py FILE. The fields that make it an Indexed Job of its shards are checked. Where the package
kubernetes-validate is installed, so is all of it, by Kubernetes' own schema.
"""

import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    job = yaml.safe_load(file)
assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job"), job
spec = job["spec"]
assert spec["completionMode"] == "Indexed" and spec["completions"] >= spec["parallelism"], spec
assert spec["template"]["spec"]["restartPolicy"] == "Never", spec
try:
    import kubernetes_validate
except ImportError:
    pass
else:
    kubernetes_validate.validate(job, "1.29", strict=True)
    print("valid", file=sys.stderr)
[container] = spec["template"]["spec"]["containers"]
[script] = container["args"]
assert "/%d " % spec["completions"] in script.replace('"', " "), script
print("\n".join([*container["command"], script]))
