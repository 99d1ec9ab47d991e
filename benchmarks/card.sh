#!/usr/bin/env bash
# Everything that a CUDA card can say about this project, in at most eight minutes and without a
# network: the tests of tests/engine/test_cuda.py, then benchmarks/card (what a step waits for; how
# the time grows with the members of a cohort, beside the plain loop, torch.func.vmap and JAX; ways
# to compute convolutions; CUDA graphs; precisions and their accuracy; peak memory).
#
#   benchmarks/card.sh                        results in outputs/benchmarks/card, or in $OUT:
#                                             card.json, card.md, test_cuda.txt, card.txt
#   LOSSHEADS_CARD=cpu benchmarks/card.sh     dry run without a card: tiny sizes, on the CPU
#
# PYTHON chooses the interpreter (default: .venv/bin/python, else python3). Needs pytest; JAX takes
# part where it is installed with CUDA.
# This script has not met a card yet: only its refusal and its dry run are tested.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

device=${LOSSHEADS_CARD:-cuda}
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}
if [[ $device != cuda && $device != cpu ]]; then
  echo "card.sh: LOSSHEADS_CARD must be cuda or cpu, got '$device'" >&2
  exit 2
fi
export PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH}
if [[ $device == cuda ]]; then
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || {
    echo "card.sh: torch in $python finds no CUDA card; for a dry run set LOSSHEADS_CARD=cpu" >&2
    exit 2
  }
fi

out=${OUT:-outputs/benchmarks/card}
mkdir -p -- "$out" || exit 2
failed=0

# Usage: part SECONDS NAME COMMAND...; its output goes to NAME.txt. A part that fails does not stop
# the others.
part() {
  local seconds=$1 name=$2
  shift 2
  if timeout "$seconds" "$@" >"$out/$name.txt" 2>&1; then
    echo "$name: done"
  else
    echo "$name: failed with status $? (124: after $seconds s), see $out/$name.txt"
    failed=1
  fi
}

# A row that hangs costs the rows after it: the limit of the measurement lies below that of its part.
tests=100 measurement=370
[[ $device == cpu ]] && tests=300 measurement=600 # a busy machine may be slow
part "$tests" test_cuda "$python" -m pytest -q -m cuda tests/engine/test_cuda.py
part "$measurement" card "$python" -m benchmarks.card --device "$device" --out "$out" \
  --limit $((measurement - 60))
echo "tables: $out/card.md"
exit "$failed"
