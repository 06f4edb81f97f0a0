//! Runs the property `prolog` under libFuzzer: `make fuzz TARGET=prolog`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xmlsocket_fuzz::prolog(data));
