//! See `serinus_sidecar::fuzzing::rewrite_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::rewrite_body(data));
