//! See `serinus_sidecar::fuzzing::h2_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::h2_frames(data));
