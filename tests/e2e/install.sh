#!/usr/bin/env bash
# Installs what the end-to-end tests need, as far as that works without asking:
# packages of Debian as root, Ruffle with npm. What is still missing then is
# reported by the tests: as skipped, or as failed where XMLSOCKET_E2E=required.
set -euo pipefail
cd "$(dirname "$0")/../.."

install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$1 is missing, and only root can install it, where there is apt-get" >&2
        return
    fi
    echo "installing $1"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$1" >/dev/null; } ||
        echo "$1 could not be installed" >&2
}

# Any of these will do; the first one is the smallest.
command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null ||
    install chromium-headless-shell
[ -e node_modules/@ruffle-rs/ruffle/ruffle.js ] || command -v npm >/dev/null || install npm
make --silent ruffle || echo "Ruffle could not be installed" >&2
