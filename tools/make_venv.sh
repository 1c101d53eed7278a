#!/bin/sh
# Makes the virtual environment VENV with what REQUIREMENTS pins, or leaves none.
# usage: tools/make_venv.sh PYTHON VENV REQUIREMENTS [PIP_ARGUMENT...]
# The arguments are those of a second `pip install`, of the project itself.
# VENV/installed exists if and only if all of it worked; any failure ends in one
# sentence that says what to do. Plain sh, since the Python may be missing or old.
set -u

python=$1 venv=$2 requirements=$3
shift 3
other="name another Python with \`make PYTHON=python3.12 demo\`"

fail() {
    echo "make: $1." >&2
    exit 1
}

check_python() {
    command -v "$python" >/dev/null 2>&1 ||
        fail "$python is missing: install Python 3.11 or newer, or $other"
    version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') ||
        fail "$python does not run: $other"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is Python $version, but 3.11 or newer is needed: $other"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module: install it, on Debian and Ubuntu with \`sudo apt install python${version%.*}-venv\`, and run make again"
}

pip_install() {
    quiet=--quiet
    [ -t 1 ] && quiet= # On a terminal, pip's own progress bars.
    # shellcheck disable=SC2086 # No argument where quiet is empty.
    "$venv/bin/python" -m pip install --disable-pip-version-check $quiet "$@" \
        2>"$log" && return
    grep '^ERROR' "$log" | tail -n 1 >&2
    if grep -qE 'versions: none|Retrying|Connection|Timeout|ProxyError|SSLError' "$log"; then
        fail "no package index answers with it: connect this machine to the network, or point PIP_INDEX_URL or PIP_FIND_LINKS at a mirror, and run make again"
    fi
    fail "pip cannot install $requirements for the reason above: mend it and run make again"
}

check_python
log=$(mktemp) || fail "no temporary file can be made: free some space in ${TMPDIR:-/tmp}"
trap 'rm -f "$log"; [ -f "$venv/installed" ] || rm -rf "$venv"' EXIT
trap 'exit 130' HUP INT TERM

echo "Installing $requirements into $venv with Python $version: 1 to 2 GB, a few minutes."
"$python" -m venv --clear "$venv" 2>"$log" || {
    tail -n 1 "$log" >&2
    fail "$venv cannot be made: free some disk space, or make this folder writable"
}
pip_install -r "$requirements"
[ $# -eq 0 ] || pip_install "$@"
touch "$venv/installed"
