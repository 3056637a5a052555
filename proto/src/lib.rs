//! The public contract of Serinus and its stored form, generated from the `.proto` files beside this crate; their
//! comments are the reference.

pub mod recording;

/// Package `serinus.v1`: what clients and sidecars speak.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        missing_debug_implementations,
        clippy::all
    )]
    include!(concat!(env!("OUT_DIR"), "/serinus.v1.rs"));
}

/// Package `serinus.stored.v1`: what is on disk.
pub mod stored {
    /// Version 1 of the stored form.
    pub mod v1 {
        #![allow(missing_docs, unreachable_pub, clippy::all)]
        include!(concat!(env!("OUT_DIR"), "/serinus.stored.v1.rs"));
    }
}

/// The served files' descriptors, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
