#!/usr/bin/env bash
# Installs what the tests of this folder need beyond Rust: install.sh RUST, with the
# version of the oldest Rust that is promised; compilers, and PHP with its debugger. Tests
# that miss something are skipped, or fail where XMLSOCKET_VENDOR=required.
set -euo pipefail

missing() { ! command -v "$1" >/dev/null; }

packages=()
missing c++ && packages+=(g++)
missing pkg-config && packages+=(pkg-config)
missing valgrind && packages+=(valgrind)
missing php && packages+=(php-cli)
php -m 2>/dev/null | grep -ix xdebug >/dev/null || packages+=(php-xdebug)
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && ! missing apt-get; then
        echo "installing ${packages[*]}"
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null; } ||
            echo "${packages[*]} could not be installed" >&2
    else
        echo "missing, and only root can install it, where there is apt-get: ${packages[*]}" >&2
    fi
fi

# A system's own Rust comes without rustup, and then is the only one.
if ! missing rustup && ! rustup run "$1" rustc --version >/dev/null 2>&1; then
    echo "installing Rust $1"
    rustup toolchain install --no-self-update --profile minimal "$1" >/dev/null 2>&1 ||
        echo "Rust $1 could not be installed" >&2
fi
