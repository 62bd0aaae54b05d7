#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Browser tests drive Debian's Chromium; install it where it is missing and we may.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-core >/dev/null
else
    echo "Chromium is missing: install it (Debian: apt-get install chromium) for the browser tests." >&2
    exit 1
fi
