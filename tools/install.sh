#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh VENV REQUIREMENT [CONSTRAINTS]: make the virtual environment if need be, and install
# into it.
#
# On Linux without an NVIDIA GPU torch's CPU wheels save gigabytes: PyTorch's own index is
# preferred for them where it answers at once, and left out where it does not.
set -eu
venv=$1
requirement=$2
constraints=${3:-constraints.txt}
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"

extra=""
index=https://download.pytorch.org/whl/cpu
if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 &&
    ! "$venv/bin/python" -c 'import torch' >/dev/null 2>&1; then
    if "$venv/bin/python" - "$index/torch/" <<'PY' >/dev/null 2>&1
import sys
import urllib.request

urllib.request.urlopen(sys.argv[1], timeout=3).read(64)
PY
    then
        extra="--extra-index-url $index"
    fi
fi
# shellcheck disable=SC2086
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check $extra \
    -c "$constraints" -e "$requirement"
