#!/usr/bin/env bash
# Builds the C library and installs it below a folder: install.sh PREFIX.
# Needs Rust only. DESTDIR is put in front of what is written, as with make install.
set -euo pipefail
cd "$(dirname "$0")"

[ $# = 1 ] && [[ $1 = /* ]] || { echo "usage: install.sh PREFIX, which begins with /" >&2; exit 2; }
prefix=$1
to=${DESTDIR:-}$prefix

cargo build --quiet --release --locked
target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' ../../Cargo.toml | head -1)
abi=$(sed -n 's/^#define XS_ABI_VERSION //p' include/xmlsocket.h)

mkdir -p "$to/include" "$to/lib/pkgconfig"
install -m 644 include/xmlsocket.h include/xmlsocket.hpp "$to/include"
install -m 644 "$target/release/libxmlsocket.a" "$to/lib"
case $(uname) in
Darwin)
    install -m 755 "$target/release/libxmlsocket.dylib" "$to/lib"
    install_name_tool -id "$prefix/lib/libxmlsocket.dylib" "$to/lib/libxmlsocket.dylib"
    private=
    ;;
*)
    install -m 755 "$target/release/libxmlsocket.so" "$to/lib/libxmlsocket.so.$version"
    ln -sf "libxmlsocket.so.$version" "$to/lib/libxmlsocket.so.$abi"
    ln -sf "libxmlsocket.so.$abi" "$to/lib/libxmlsocket.so"
    # What `rustc --print native-static-libs` names and a C compiler does not add.
    private="-lgcc_s -lutil -lrt -lpthread -lm -ldl"
    ;;
esac
sed -e "s|@prefix@|$prefix|" -e "s|@version@|$version|" -e "s|@private@|$private|" \
    xmlsocket.pc.in >"$to/lib/pkgconfig/xmlsocket.pc"
