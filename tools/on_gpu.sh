#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# on_gpu.sh [FOLDER]: on a machine with an NVIDIA GPU and torch, what needs one, within eight minutes:
# tests/gpu on CUDA, then benchmarks/gpu.py. Leaves gpu.json, gpu.md and tests.txt in FOLDER (out).
#
# torch is the machine's own and stays. What else is needed comes from wheels/, where the machine has no
# network; `sh tools/on_gpu.sh --wheels` fills that folder on one that has (the list: tools/on_gpu.txt).
# To try the script anywhere: DEVICE=cpu ARGUMENTS="--tiny --repeats 1" sh tools/on_gpu.sh
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ "${1:-}" = --wheels ]; then
    exec "$python" -m pip download --quiet --no-deps --only-binary=:all: -d wheels -r tools/on_gpu.txt
fi

out=${1:-out}
device=${DEVICE:-cuda}
mkdir -p "$out"
"$python" -c 'import sys, torch
if sys.argv[1] == "cuda" and not torch.cuda.is_available():
    sys.exit(f"on_gpu.sh: torch {torch.__version__} sees no GPU here. Expected one; DEVICE=cpu tries the script.")
' "$device"

# In an environment of its own that sees the machine's torch.
if [ -d wheels ]; then
    "$python" -m venv --system-site-packages "$out/venv"
    "$out/venv/bin/python" -m pip install --quiet --no-index --no-deps --find-links wheels -r tools/on_gpu.txt
    python=$out/venv/bin/python
fi
PYTHONPATH=$PWD
OMP_WAIT_POLICY=PASSIVE
export PYTHONPATH OMP_WAIT_POLICY

if [ "$device" = cuda ]; then
    timeout 200 "$python" -m pytest tests/gpu -m cuda -p no:cacheprovider -rfs > "$out/tests.txt" 2>&1 ||
        echo "on_gpu.sh: tests/gpu did not pass: see $out/tests.txt"
    tail -n 3 "$out/tests.txt"
fi
# shellcheck disable=SC2086
timeout 280 "$python" benchmarks/gpu.py --device "$device" --out "$out/gpu.json" ${ARGUMENTS:-}
