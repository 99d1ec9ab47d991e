#!/usr/bin/env bash
# Runs the whole test suite: ./scripts/test.sh [arguments for pytest, paths seen from the clone's root]
# The first start installs the project into .venv; see bootstrap.sh.
set -euo pipefail
# shellcheck source=scripts/bootstrap.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/bootstrap.sh"

# The tests' tensors are small: more threads wait for each other longer than they compute.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
cd -- "$root"
# -P: import the installed project, never a folder that happens to lie in the root.
# A file of tests stays in one process, so that what its tests share is made once; files are begun in
# the order of tests/conftest.py.
exec "$venv_python" -P -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
  --no-loadscope-reorder "$@"
