//! Runs the property `decode` under libFuzzer: `make fuzz TARGET=decode`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| xmlsocket_fuzz::decode(data));
