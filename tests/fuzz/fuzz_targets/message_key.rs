//! See `serinus_sidecar::fuzzing::message_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_sidecar::fuzzing::message_key(data));
