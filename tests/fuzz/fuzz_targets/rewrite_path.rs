//! See `serinus_sidecar::fuzzing::rewrite_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::rewrite_path(data));
