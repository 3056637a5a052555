//! See `serinus_sidecar::fuzzing::chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::chunks(data));
