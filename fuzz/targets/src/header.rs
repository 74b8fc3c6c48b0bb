//! `o_fuzz::header` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| o_fuzz::header::run(data));
