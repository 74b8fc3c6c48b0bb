//! `o_fuzz::session` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| o_fuzz::session::run(data));
