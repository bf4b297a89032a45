# shellcheck shell=bash
# Shared by scripts/dev and scripts/test: makes .venv at the top of the checkout, with the project in it.
# To be sourced by bash. Sets ROOT and VENV_PYTHON; says one line and exits when something is missing.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
VENV_PYTHON="$VENV/bin/python"
_STAMP="$VENV/.relay-bot-stamp"
_LOG="$VENV/setup.log"

_fail() {
    printf '%s: %s\n' "${SELF:-scripts}" "$1" >&2
    exit 1
}

_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The first Python here that is new enough. PYTHON names another.
_find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if _is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# What an installed environment is made of; it is brought up to date when this changes.
_wanted() {
    # The place, because an environment holds absolute paths and may have been moved with its checkout.
    printf '%s\n' "$ROOT"
    "$VENV_PYTHON" -V
    cksum <"$ROOT/pyproject.toml"
    cksum <"$ROOT/constraints.txt"
}

_make_venv() {
    local python="${PYTHON:-}"
    if [ -n "$python" ]; then
        _is_new_enough "$python" || _fail "PYTHON=$python is no Python 3.11 or later: correct it, or unset it"
    else
        python="$(_find_python)" ||
            _fail "needs Python 3.11 or later: install one, or name it with PYTHON=/path/to/python"
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        _fail "$python has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"
    printf 'making .venv with %s …\n' "$("$python" -V)" >&2
    "$python" -m venv --clear "$VENV" >/dev/null 2>&1 ||
        _fail "$python -m venv $VENV failed: run it to see why (Debian, Ubuntu: apt install python3-venv)"
}

_pip() {
    "$VENV_PYTHON" -m pip install --quiet --retries 2 --disable-pip-version-check --no-input \
        -c "$ROOT/constraints.txt" "$@" >>"$_LOG" 2>&1
}

_why_pip_failed() {
    local unreachable='NewConnectionError|name resolution|Could not fetch URL|ConnectTimeout|ProxyError|unreachable'
    if grep -qiE "$unreachable" "$_LOG"; then
        printf "the package index can't be reached: check the network, or pip's proxy and index settings"
    else
        grep -E '^ *(ERROR|error):' "$_LOG" | tail -n 1 | grep . || printf 'pip gave no reason'
    fi
}

_install() {
    printf 'installing the project and its tools (the first time takes a minute) …\n' >&2
    : >"$_LOG"
    # The build tools are pinned like all else, so the project is built with them and not in isolation.
    if ! { _pip hatchling editables && (cd "$ROOT" && _pip --no-build-isolation -e '.[dev]'); }; then
        _fail "could not install the project: $(_why_pip_failed) (pip's output: $_LOG)"
    fi
}

bootstrap() {
    if ! _is_new_enough "$VENV_PYTHON" || ! [ -x "$VENV/bin/pip" ]; then
        _make_venv
    fi
    local wanted
    wanted="$(_wanted)"
    if [ "$(cat "$_STAMP" 2>/dev/null)" != "$wanted" ]; then
        _install
        printf '%s\n' "$wanted" >"$_STAMP"
    fi
}
