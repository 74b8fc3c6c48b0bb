//! `o_fuzz::gossip` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| o_fuzz::gossip::run(data));
