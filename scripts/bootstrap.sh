# shellcheck shell=bash
# Makes .venv with the versions of constraints.txt, once. Source it from bash under `set -euo pipefail`.
#
# It gives the caller $root (the clone) and $venv_python (runs the project). Needs Python 3.11 to 3.13
# with venv, and a package registry. PYTHON=/path/to/python chooses another Python than the first that
# fits. Exit status 2 and one sentence when it cannot; it works with macOS's bash 3.2 as well.
#
# The dev extra is always installed: 100 MB beside the 6 GB of torch, and in exchange there is one .venv
# and one stamp, and changing from reproduce.sh to test.sh installs nothing.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
venv_python=$venv/bin/python
stamp=$venv/.lossheads-stamp
log=$venv/bootstrap.log

# A package found through these would count as installed, and be gone on the next machine.
unset PYTHONPATH PYTHONHOME

say() { printf 'bootstrap: %s\n' "$*" >&2; }

refuse() {
  say "$*"
  exit 2
}

# --- Which Python -------------------------------------------------------------------------------------

# Prints "3.11", or nothing when the command does not run (a version manager's shim, a dead link).
version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null || true
}

fits() {
  case $1 in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
}

why_unfit() {
  case $1 in
    3.1[4-9]* | 3.[2-9][0-9]* | [4-9].* | [1-9][0-9]*.*) printf 'too new' ;;
    *) printf 'too old' ;;
  esac
}

# Debian and Ubuntu split ensurepip off; without it `python -m venv` fails half-way.
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 </dev/null; }

# Sets $chosen to the first Python that fits and can make environments; $PYTHON, when set, is the only one.
choose_python() {
  local version unfit="" bare=""
  if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi
  for chosen; do
    version=$(version_of "$chosen")
    if [ -z "$version" ]; then
      [ -z "${PYTHON:-}" ] || unfit=", $chosen (does not run)"
    elif ! fits "$version"; then
      unfit="$unfit, $chosen (Python $version: $(why_unfit "$version"))"
    elif has_venv "$chosen"; then
      return
    else
      bare="$bare, $chosen (Python $version)"
    fi
  done
  if [ -n "$bare" ]; then
    refuse "found ${bare#, } without its venv module, which makes .venv:" \
      "install it (Debian and Ubuntu: apt-get install python3-venv) and start again"
  fi
  [ -z "$unfit" ] || unfit=", found ${unfit#, }"
  refuse "needs Python 3.11, 3.12 or 3.13${unfit:-, found no Python at all}:" \
    "install one of these, or name it with PYTHON=/path/to/python"
}

# --- What is there ------------------------------------------------------------------------------------

# The stamp begins with three lines: the place, the Python, and one of these states. After `complete`
# comes the text that was installed from; the text rather than its hash, so no hashing tool is needed
# and `diff` shows why a second install happens.
#   complete  everything is installed and was imported once
#   retry     an installer gave up and said so: the next start goes on from there
#   scratch   work in progress; found at a start, it was cut short, and pip would take a half-copied
#             package for an installed one: build anew
stamp_head() { printf '%s\n' "$root" "python $1" "$2"; }

goal_for() {
  stamp_head "$1" complete
  cat "$root/pyproject.toml" "$root/constraints.txt"
}

write_stamp() {
  printf '%s\n' "$1" >"$stamp.new" && mv -f "$stamp.new" "$stamp"
}

# Prints the version of .venv's Python if it runs, fits, and is the one that $PYTHON asks for, if any.
usable_version() {
  local version
  version=$(version_of "$venv_python")
  fits "$version" || return 0
  [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$version" ] || return 0
  printf '%s' "$version"
}

is_current() {
  local version
  [ -f "$stamp" ] || return 1
  version=$(usable_version)
  [ -n "$version" ] && [ "$(cat "$stamp")" = "$(goal_for "$version")" ]
}

# True if packages may be added to the .venv that is there: ours, at this place, and not cut short.
can_go_on() {
  local version
  version=$(usable_version)
  [ -n "$version" ] || return 1
  case $(head -n 3 "$stamp") in
    "$(stamp_head "$version" retry)" | "$(stamp_head "$version" complete)") ;;
    *) return 1 ;;
  esac
}

# True if a .venv without our stamp, made by hand, can be taken over as it is.
can_adopt() {
  local made_for
  [ -n "$(usable_version)" ] && "$venv_python" -m pip --version >/dev/null 2>&1 || return 1
  # shellcheck disable=SC1091
  made_for=$(set +eu; . "$venv/bin/activate" >/dev/null 2>&1; printf '%s' "${VIRTUAL_ENV:-}")
  [ "$made_for" -ef "$venv" ]
}

# --- Installing ---------------------------------------------------------------------------------------

# step STATE WHAT COMMAND...: the command's words go to the log. If it fails, the stamp becomes STATE.
step() {
  local state=$1 what=$2 status=0
  shift 2
  printf '== %s\n' "$what" >>"$log"
  # The subshell keeps the redirection off this shell, whose trap may have to speak.
  ("$@") >>"$log" 2>&1 </dev/null || status=$?
  [ "$status" -ne 0 ] || return 0
  write_stamp "$(stamp_head "$version" "$state")" || true
  tail -n 5 "$log" | sed 's/^/    /' >&2
  refuse "could not $what (exit status $status): the log is $log;" \
    "mend the cause and start the same command again"
}

# Both installers run from the root, because pip splits the paths in its variables at spaces, and keep
# their temporary files (3 GB) in .venv, because /tmp is often a small memory disk.
with_uv() {
  cd -- "$root" && TMPDIR=$venv/tmp uv pip install --python "$venv_python" \
    --constraints constraints.txt --build-constraints constraints.txt --editable '.[dev]'
}

# Old pips hand PIP_CONSTRAINT to the builders of packages, newer ones PIP_BUILD_CONSTRAINT.
with_pip() {
  cd -- "$root" && TMPDIR=$venv/tmp PIP_USER=0 \
    PIP_CONSTRAINT="constraints.txt${PIP_CONSTRAINT:+ $PIP_CONSTRAINT}" \
    PIP_BUILD_CONSTRAINT="constraints.txt${PIP_BUILD_CONSTRAINT:+ $PIP_BUILD_CONSTRAINT}" \
    "$venv_python" -m pip install --no-input --disable-pip-version-check --progress-bar off \
    --editable '.[dev]'
}

install_packages() {
  mkdir -p "$venv/tmp"
  if command -v uv >/dev/null 2>&1; then
    printf '== install with uv\n' >>"$log"
    (with_uv) >>"$log" 2>&1 </dev/null && return
    say "uv did not manage (see $log); going on with pip"
  fi
  step retry "install the packages of constraints.txt with pip" with_pip
}

# Empties .venv, stamp last, so that what a cut leaves behind is still known to be ours. The slash and
# the emptying, instead of a removal, serve whoever made .venv a link to a larger disk.
empty_venv() {
  mkdir -p "$venv" && find "$venv/" -mindepth 1 ! -name "${stamp##*/}" -delete
}

# Leaves a .venv that packages can be added to, and sets $version.
prepare_venv() {
  if { [ -f "$stamp" ] && can_go_on; } || { [ ! -f "$stamp" ] && can_adopt; }; then
    version=$(usable_version)
    say "bringing .venv up to date with constraints.txt (log: $log)"
    : >"$log"
    return
  fi
  if [ -f "$stamp" ]; then
    say "building .venv anew: the one there was cut short, or is of another place or Python"
  elif [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    refuse "cannot use $venv and did not make it: remove it or move it away, then start again"
  fi
  version=$(version_of "$chosen")
  { mkdir -p "$venv" && write_stamp "$(stamp_head "$version" scratch)" && empty_venv; } ||
    refuse "cannot write $venv: make room or mend its permissions, then start again"
  say "installing torch and the rest into .venv: minutes, 6 GB (9 GB meanwhile; log: $log)"
  step scratch "make the virtual environment with $chosen -m venv" "$chosen" -m venv "$venv"
}

build() {
  local version goal
  prepare_venv
  # Read before the work: a file that is edited meanwhile must not pass for installed.
  goal=$(goal_for "$version")
  write_stamp "$(stamp_head "$version" scratch)"
  install_packages
  rm -rf "$venv/tmp"
  step scratch "import what was installed" "$venv_python" -c 'import torch, torchvision, lossheads'
  write_stamp "$goal"
}

# --- One at a time ------------------------------------------------------------------------------------

# The lock is the kernel's, on file descriptor 9 of this shell: it goes when the last process that holds
# the descriptor does, installer included, so it is never stale. Python takes it, since macOS has no
# flock command; it outlives that Python because the shell holds the same open file.
take_lock() {
  # The group keeps the shell's own message for an unwritable folder off the screen.
  { exec 9>"$root/.venv.lock"; } 2>/dev/null ||
    refuse "cannot write $root/.venv.lock: mend its permissions"
  "$chosen" -c '
import fcntl, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("bootstrap: another start is installing into .venv; waiting for it", file=sys.stderr, flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
' </dev/null || refuse "could not lock $root/.venv.lock: does its file system support flock?"
}

bootstrap() {
  local chosen
  is_current && return
  choose_python
  take_lock
  # pip answers Ctrl-C with an ordinary exit, which the shell would take for a failed step.
  trap 'say "interrupted; the next start builds .venv anew"; exit 130' INT
  # Whoever held the lock may have done the work.
  is_current || build
  trap - INT
  exec 9>&-
}

bootstrap
