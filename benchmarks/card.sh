#!/usr/bin/env bash
# Everything that a CUDA card can say about this project, in at most ten minutes: the tests of
# tests/engine/test_cuda.py, then seconds per member-epoch of mlp-128 (batch 128, random images)
# with 1, 8, 64 and 512 members, in float32, TF32 and bfloat16, each with and without a CUDA graph,
# beside the plain torch loop. A part that fails does not stop the others.
#
#   benchmarks/card.sh                        results in outputs/benchmarks/card, or in $OUT
#   LOSSHEADS_CARD=cpu benchmarks/card.sh     dry run without a card: tiny sizes, on the CPU
#
# PYTHON chooses the interpreter (default: .venv/bin/python, else python3).
# This script has not met a card yet: only its refusal and its dry run are tested.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

device=${LOSSHEADS_CARD:-cuda}
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}
case $device in
cuda)
  sizes=(--members 1,8,64,512 --batch 128 --rounds 3 --steps 400 --seconds 1)
  limit=70 # seconds of a mode: six modes and the tests stay within ten minutes
  modes=("tf32" "tf32 --graph" "bfloat16" "bfloat16 --graph" "float32" "float32 --graph")
  ;;
cpu)
  sizes=(--tiny)
  limit=300 # a busy machine may be slow
  modes=("float32" "bfloat16")
  ;;
*)
  echo "card.sh: LOSSHEADS_CARD must be cuda or cpu, got '$device'" >&2
  exit 2
  ;;
esac

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

# Usage: part SECONDS NAME COMMAND...; its output goes to NAME.txt.
part() {
  local seconds=$1 name=$2
  shift 2
  if timeout "$seconds" "$@" >"$out/$name.txt" 2>&1; then
    if grep '^skipped ' "$out/$name.txt"; then failed=1; else echo "$name: done"; fi
  else
    echo "$name: failed with status $? (124: after $seconds s), see $out/$name.txt"
    failed=1
  fi
}

if [[ $device == cuda ]]; then
  part 10 nvidia-smi nvidia-smi -q
fi
part $((limit < 150 ? 150 : limit)) test_cuda "$python" -m pytest -q tests/engine/test_cuda.py
for mode in "${modes[@]}"; do
  name=${mode// --/-}
  # shellcheck disable=SC2086 # a mode is one or two words
  part "$limit" "$name" "$python" -m benchmarks.training_speed --device "$device" --precision $mode \
    --synthetic --models mlp-128 --peers plain,lossheads "${sizes[@]}" \
    --json "$out/$name.json" --markdown "$out/$name.md" --figure "$out/$name"
done
exit "$failed"
