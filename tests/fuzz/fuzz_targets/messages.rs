//! See `serinus_sidecar::fuzzing::messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::messages(data));
