//! See `serinus_sidecar::fuzzing::events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::events(data));
