//! Gives the shared library a name that changes when programs must be linked anew.

#[allow(clippy::print_stdout, reason = "this is how cargo is told")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // XS_ABI_VERSION. Elsewhere than on ELF there is no such name.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libxmlsocket.so.1");
    }
}
