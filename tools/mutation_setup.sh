#!/bin/sh
# The Python environment of the mutation tool, in build/mutation-venv. Quick when it is there.
set -eu

cd "$(dirname "$0")/.."
venv=build/mutation-venv
wanted=$(cksum <tools/requirements-mutation.txt)
if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c ''; then
    exit 0
fi
rm -rf "$venv"
build/venv/bin/python -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --no-deps --only-binary :all: --require-hashes \
    -r tools/requirements-mutation.txt
echo "$wanted" >"$venv/stamp"
