#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perdura_fuzz::run("pod_resources", data));
