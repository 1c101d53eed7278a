#!/bin/sh
# Adds to the environment VENV the libraries whose models the tests bring in, and those
# that build the documentation and open pages.
# usage: tools/add_interop.sh VENV
# VENV/interop exists if and only if all of it worked.
set -u

venv=$1
rm -f "$venv/interop"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

pip_install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --quiet "$@" \
        2>"$log" && return
    grep '^ERROR' "$log" | tail -n 1 >&2
    echo "make: pip cannot install $2 for the reason above: mend it and run make again." >&2
    exit 1
}

echo "Adding interop- and docs-requirements.txt to $venv: 0.4 GB to load, a minute."
# What is pinned already stays as it is.
pip_install -r interop-requirements.txt -r docs-requirements.txt -r requirements.txt
rm -rf "$venv/jax2onnx"
pip_install -r jax2onnx-requirements.txt --no-deps --target "$venv/jax2onnx"
touch "$venv/interop"
