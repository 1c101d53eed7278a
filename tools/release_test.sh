#!/bin/sh
# Installs what is to be published as users do, from the package index, and uses it.
# usage: tools/release_test.sh PYTHON [DIST]
# DIST is a folder with one wheel and its sdist; by default they are built. In a clean
# environment, outside the checkout: the core's packages are counted, one attack and one
# evaluation run; with the extras of the README its blocks run as they are printed.
set -eu

python=$1 most=30
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --disable-pip-version-check "$@"; }
packages() { pip list --format=freeze | grep -cvE '^(pip|setuptools)=='; }
megabytes() { du -sm "$work"/venv/lib/python*/site-packages | cut -f 1; }

if [ $# -gt 1 ]; then
    dist=$(cd "$2" && pwd)
else
    dist=$work/dist
    "$python" -m venv "$work/build"
    "$work/build/bin/python" -m pip --disable-pip-version-check --quiet install build twine
    cp -r "$here" "$work/tree"
    rm -rf "$work/tree"/.venv* "$work/tree/out" "$work/tree/build"
    "$work/build/bin/python" -m build --outdir "$dist" "$work/tree" >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2 && exit 1; }
    "$work/build/bin/python" -m twine check --strict "$dist"/*
fi
wheel=$(echo "$dist"/*.whl)
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}"
cd "$work"

empty=$(megabytes)
pip install --quiet "$wheel"
count=$(packages)
echo "core: $count packages, $(($(megabytes) - empty)) MB"
[ "$count" -le "$most" ] || { echo "more than $most packages" >&2 && exit 1; }
"$work/venv/bin/python" -P "$here/tests/release/core_work.py" "$work" >"$work/said"
grep -q '"robust": 0.0.*"unguarded": {}' "$work/said" || { cat "$work/said" && exit 1; }
"$work/venv/bin/robust-jax" --version
"$work/venv/bin/robust-jax" evaluate --help >/dev/null

pip install --quiet "$wheel[data,train]"
echo "data and train: $(packages) packages, $(($(megabytes) - empty)) MB"
"$work/venv/bin/python" -P "$here/tests/release/readme_tasks.py" "$here/README.md"
