//! `o_fuzz::cbor` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| o_fuzz::cbor::run(data));
