//! Runs the property `encode` under libFuzzer: `make fuzz TARGET=encode`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xmlsocket_fuzz::encode(data));
