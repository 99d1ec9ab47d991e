# shellcheck shell=bash
# Makes .venv with the versions of constraints.txt, once. Source it from bash under `set -euo pipefail`.
#
# It gives the caller $root (the clone) and $venv_python (runs the project). Needs Python 3.11 to 3.13
# with venv, and a package registry; PYTHON=/path/to/python chooses another Python than the first that
# fits. When it cannot, it says so in one sentence, exit status 2. macOS's bash 3.2 is enough.
#
# The dev extra is always installed: 100 MB beside the 6 GB of torch, and one .venv serves all commands.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
venv_python=$venv/bin/python
stamp=$venv/.lossheads-stamp
log=$venv/bootstrap.log

# A package found through these would count as installed, and be gone on the next machine.
unset PYTHONPATH PYTHONHOME

say() { printf 'bootstrap: %s\n' "$*" >&2; }
refuse() { say "$*"; exit 2; }

# Prints "3.11", or nothing when the command does not run (a version manager's shim, a dead link).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null || true; }

# Sets $chosen to the first Python that fits and can make environments; $PYTHON, when set, is the only one.
choose_python() {
  local version tried=""
  set -- python3.13 python3.12 python3.11 python3 python
  [ -z "${PYTHON:-}" ] || set -- "$PYTHON"
  for chosen; do
    version=$(version_of "$chosen")
    case $version in
      3.11 | 3.12 | 3.13) ;;
      *) tried="$tried, $chosen: ${version:-none}"; continue ;;
    esac
    # Debian and Ubuntu split ensurepip off; without it `python -m venv` fails half-way.
    "$chosen" -c 'import ensurepip, venv' >/dev/null 2>&1 </dev/null && return
    tried="$tried, $chosen: $version without venv"
  done
  refuse "needs Python 3.11, 3.12 or 3.13 with its venv module (tried ${tried#, }): install one" \
    "(Debian and Ubuntu: apt-get install python3-venv) or name one with PYTHON=/path/to/python"
}

# The stamp marks a .venv as ours. It is empty while we work: found so at a start, the work was cut short
# or failed, and pip would take a half-copied package for an installed one, so .venv is built anew. At the
# end it gets the place and the Python, without which a .venv is of no use, and the text installed from.
base() { printf '%s\n' "$root" "python $(version_of "${PYTHON:-$venv_python}")" complete; }
goal() { base && cat "$root/pyproject.toml" "$root/constraints.txt"; }

is_current() { [ -x "$venv_python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(goal)" ]; }
can_update() { [ -x "$venv_python" ] && [ "$(head -n 3 "$stamp" 2>/dev/null)" = "$(base)" ]; }

# The lock is the kernel's, on file descriptor 9: it goes with the last process that holds the descriptor,
# installer included, so it is never stale. Python takes it, since macOS has no flock command.
take_lock() {
  { exec 9>"$root/.venv.lock" && "$chosen" -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("bootstrap: waiting for another start to finish .venv", file=sys.stderr, flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
' </dev/null; } || refuse "cannot lock $root/.venv.lock: make its folder writable, or move the clone"
}

# step WHAT COMMAND...: the command's words go to the log.
step() {
  local what=$1
  shift
  "$@" >>"$log" 2>&1 </dev/null && return
  tail -n 10 "$log" | sed 's/^/    /' >&2
  refuse "could not $what: mend the cause (the log is $log) and start again"
}

# From the root, because pip splits the paths in its variables at spaces. Old pips hand PIP_CONSTRAINT to
# the builders of packages, newer ones PIP_BUILD_CONSTRAINT. Temporary files (3 GB) stay in .venv, because
# /tmp is often a small memory disk.
install_packages() (
  cd -- "$root" && TMPDIR=$venv PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    "$venv_python" -m pip install --no-input --disable-pip-version-check --progress-bar off -e '.[dev]'
)

build() {
  local wanted
  if can_update; then
    say "bringing .venv up to date with constraints.txt (log: $log)"
    : >"$stamp"
    : >"$log"
  else
    [ -f "$stamp" ] || [ -z "$(ls -A "$venv" 2>/dev/null)" ] ||
      refuse "did not make $venv and leaves it alone: remove it or move it away, then start again"
    say "installing torch and the rest into .venv: minutes, 6 GB (9 GB meanwhile; log: $log)"
    # The stamp comes first and stays, so that a cut at any moment leaves a .venv that is known to be ours.
    # The slash: .venv may be a link to a larger disk.
    { mkdir -p "$venv" && : >"$stamp" && find "$venv/" -mindepth 1 ! -name "${stamp##*/}" -delete; } ||
      refuse "cannot write $venv: make room or mend its permissions, then start again"
    step "make .venv with $chosen -m venv" "$chosen" -m venv "$venv"
  fi
  # Read before the work: a file that is edited meanwhile must not pass for installed.
  wanted=$(goal)
  step "install the packages of constraints.txt" install_packages
  printf '%s\n' "$wanted" >"$stamp"
}

bootstrap() {
  local chosen
  is_current && return
  choose_python
  take_lock
  # Whoever held the lock may have done the work.
  is_current || build
  exec 9>&-
}

bootstrap
