#!/usr/bin/env bash
# The puzzle, end to end: ./scripts/reproduce.sh [overrides for `lossheads claim run`]
# Fetches Fashion-MNIST, trains every arm, prints the table, the verdict and how to open TensorBoard.
# The first start installs the project into .venv; see bootstrap.sh.
set -euo pipefail
# shellcheck source=scripts/bootstrap.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/bootstrap.sh"

cd -- "$root"
exec "$venv_python" -P -m lossheads claim run bce-97-vs-cce-90 "$@"
