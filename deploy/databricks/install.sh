#!/bin/sh
# Init script of a Databricks cluster: serverload and its packages, without those that the runtime has itself. The wheel and
# constraints.txt lie beside it, where databricks.yml puts them.
set -eu
here=$(realpath "$(dirname "$0")")
python=/databricks/python/bin/python

"$python" -m pip install --quiet --no-deps "$here"/serverload-*.whl
"$python" - >/tmp/serverload-packages.txt <<'PACKAGES'
from importlib.metadata import requires
from re import match

for line in requires("serverload"):
    name = match(r"[\w.-]+", line)[0]
    if ("extra ==" not in line or "'cloud'" in line or '"cloud"' in line) and name not in ("pyspark", "delta-spark"):
        print(line.partition(";")[0])
PACKAGES
"$python" -m pip install --quiet --constraint "$here/constraints.txt" --requirement /tmp/serverload-packages.txt
