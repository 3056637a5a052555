//! Recordings of the streams between sidecars and a control plane: what each side of one version said, so that later
//! versions can be held to it.

use crate::v1;
use prost::{DecodeError, Message};

/// One message, in the order in which it passed.
#[derive(Clone, PartialEq, Message)]
pub struct StreamEntry {
    /// Since the beginning of the stream, milliseconds.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// What the sidecar said; absent if it was the control plane.
    #[prost(message, optional, tag = "2")]
    pub sidecar: Option<v1::SidecarMessage>,
    /// What the control plane said.
    #[prost(message, optional, tag = "3")]
    pub control: Option<v1::ControlMessage>,
}

/// Reads a recording: entries one after the other, each behind its length.
///
/// # Errors
/// If it is none.
pub fn read(mut bytes: &[u8]) -> Result<Vec<StreamEntry>, DecodeError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        entries.push(StreamEntry::decode_length_delimited(&mut bytes)?);
    }
    Ok(entries)
}

/// Writes what [`read`] reads.
#[must_use]
pub fn write(entries: &[StreamEntry]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(Message::encode_length_delimited_to_vec)
        .collect()
}

/// The recordings of every version that was released, and of the present one, by file name.
pub const STREAMS: [(&str, &[u8]); 1] = [(
    "stream-0.1.0.bin",
    include_bytes!("../recordings/stream-0.1.0.bin"),
)];
