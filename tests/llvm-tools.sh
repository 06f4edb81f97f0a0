#!/usr/bin/env bash
# Installs what reads the coverage of Rust code: llvm-profdata and llvm-cov of the
# LLVM that rustc is built with, for no other is sure to know its format.
set -euo pipefail

"${PYTHON:-python3}" "$(dirname "$0")/rust_coverage.py" --find >/dev/null 2>&1 && exit 0

# Of the toolchain in use, which RUSTUP_TOOLCHAIN or a file may name.
if command -v rustup >/dev/null; then
    echo "installing llvm-tools"
    rustup component add llvm-tools >/dev/null 2>&1 && exit 0
fi
package=llvm-$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $package"
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$package" >/dev/null && exit 0
fi
echo "llvm-cov is missing: rustup component add llvm-tools, or as root apt-get install $package" >&2
exit 1
