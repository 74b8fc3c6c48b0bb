//! `o_fuzz::delegation` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| o_fuzz::delegation::run(data));
