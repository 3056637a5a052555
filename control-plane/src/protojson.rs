//! Messages in the JSON form of protobuf, by their descriptors.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use serinus_proto::FILE_DESCRIPTOR_SET;
use std::sync::OnceLock;

/// The descriptor of a message of `serinus.v1`.
pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let made = || DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("they are compiled in");
    let message = POOL
        .get_or_init(made)
        .get_message_by_name(&format!("serinus.v1.{name}"));
    message.expect("callers name messages of the package")
}

/// A message whose fields can be asked for by name.
pub(crate) fn dynamic(name: &str, message: &impl Message) -> DynamicMessage {
    let bytes = message.encode_to_vec();
    DynamicMessage::decode(descriptor(name), bytes.as_slice())
        .expect("a message and its descriptor are made from the same file")
}

/// Its JSON.
pub(crate) fn value(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new();
    // A value is always built: keys are text, and there is no writer to fail.
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or_default()
}
