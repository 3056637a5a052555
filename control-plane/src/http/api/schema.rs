//! What messages look like, from the very descriptors that gRPC reflection shows.

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::FileDescriptorSet;
use serinus_proto::FILE_DESCRIPTOR_SET;
use std::sync::LazyLock;

const PACKAGE: &str = "serinus.v1";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| load().unwrap_or_default());

/// Ours, and those of `google.rpc`.
pub(super) fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The tests check that nothing is missing.
fn load() -> Option<DescriptorPool> {
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok()?;
    let errors: FileDescriptorSet =
        prost::Message::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).ok()?;
    for file in errors.file {
        if pool.get_file_by_name(file.name()).is_none() {
            pool.add_file_descriptor_proto(file).ok()?;
        }
    }
    Some(pool)
}

/// An RPC.
///
/// # Panics
/// If there is none of this name: routes name those of the descriptors alone, as a test checks.
pub(super) fn method(service: &str, name: &str) -> MethodDescriptor {
    let service = POOL.get_service_by_name(&format!("{PACKAGE}.{service}"));
    let method = service.and_then(|service| service.methods().find(|method| method.name() == name));
    method.expect("every route names an RPC of the descriptors")
}

/// `google.rpc.Status`.
///
/// # Panics
/// If it is missing: it is compiled in, as a test checks.
pub(super) fn status() -> MessageDescriptor {
    let status = POOL.get_message_by_name("google.rpc.Status");
    status.expect("google.rpc.Status is among the descriptors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_are_whole() {
        let pool = load().unwrap();
        for name in [
            "google.rpc.Status",
            "google.rpc.BadRequest",
            "google.rpc.ErrorInfo",
            "google.rpc.RetryInfo",
            "serinus.v1.Rollout",
        ] {
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
        assert_eq!(status().full_name(), "google.rpc.Status");
    }
}
