//! See `serinus_sidecar::fuzzing::answer_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::answer_body(data));
