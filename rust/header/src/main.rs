//! Writes `rust/capi/include/xmlsocket.h`: `make header`. With `--check` it writes
//! nothing, and fails if the file is not what it would write.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capi");
    let config = cbindgen::Config::from_file(capi.join("cbindgen.toml"));
    let config = config.expect("rust/capi/cbindgen.toml");
    let builder = cbindgen::Builder::new().with_config(config);
    let bindings = builder.with_src(capi.join("src/lib.rs")).generate();
    let bindings = bindings.expect("the sources of rust/capi");
    let header = capi.join("include/xmlsocket.h");
    if std::env::args().nth(1).as_deref() != Some("--check") {
        bindings.write_to_file(header);
        return ExitCode::SUCCESS;
    }
    let mut wanted = Vec::new();
    bindings.write(&mut wanted);
    if std::fs::read(&header).is_ok_and(|found| found == wanted) {
        return ExitCode::SUCCESS;
    }
    eprintln!("rust/capi/include/xmlsocket.h is not what rust/capi/src says: make header");
    ExitCode::FAILURE
}
