#!/usr/bin/env bash
# Installs what the fault tests need beyond Python: strace, ip and openssl, as root, where
# there is apt-get. Tests that miss them are skipped, or fail where
# XMLSOCKET_FAULTS=required.
set -euo pipefail

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

[ "$(uname)" = Linux ] || exit 0
command -v strace >/dev/null || install strace
command -v openssl >/dev/null || install openssl
command -v ip >/dev/null || install iproute2
# For tests/workers/test_deploy.py, which is skipped without them.
export PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || install haproxy
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || { install nginx-light && install libnginx-mod-stream; }
