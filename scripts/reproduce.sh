#!/usr/bin/env bash
# The puzzle, end to end: ./scripts/reproduce.sh [overrides for `lossheads claim run`]
# Fetches Fashion-MNIST, trains every arm, prints the table, the verdict and how to open TensorBoard.
# Without overrides 5 seeds, two to three minutes. They show what was printed; whether the losses differ by
# a point on one metric takes the claim's own 25 (seeds=25, ten minutes): five called it either way.
# The first start installs the project into .venv; see bootstrap.sh.
set -euo pipefail
# shellcheck source=scripts/bootstrap.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/bootstrap.sh"

cd -- "$root"
if [ $# -eq 0 ]; then
    set -- seeds=5
    echo "5 seeds show what each metric prints, not by how little the losses differ on one of them;" \
        "the claim's own 25 take ten minutes: ./scripts/reproduce.sh seeds=25"
fi
exec "$venv_python" -P -m lossheads claim run bce-97-vs-cce-90 "$@"
