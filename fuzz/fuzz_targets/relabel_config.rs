#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perdura_fuzz::run("relabel_config", data));
