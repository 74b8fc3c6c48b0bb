//! `o_fuzz::describe` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| o_fuzz::describe::run(data));
