//! The first message of a sidecar.

use crate::grpc::error::{bad_field, status};
use serinus_core::selector::{MOST_LABELS, fault};
use serinus_proto::v1::{self, sidecar_message::Message};
use std::time::Duration;
use tonic::{Code, Status, Streaming};

/// The version of the stream that is spoken here.
pub(super) const PROTOCOL: u32 = 1;

const WAIT: Duration = Duration::from_secs(5);
const NAME_BYTES: usize = 253;
const MODELS: usize = 1024;

/// Waits for a Hello and checks it.
pub(super) async fn receive(
    inbound: &mut Streaming<v1::SidecarMessage>,
) -> Result<v1::Hello, Status> {
    let first = tokio::time::timeout(WAIT, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello within 5 s"))??;
    match first.and_then(|message| message.message) {
        Some(Message::Hello(hello)) => check(hello),
        _ => Err(Status::invalid_argument(
            "the first message has to be Hello",
        )),
    }
}

pub(super) fn check(hello: v1::Hello) -> Result<v1::Hello, Status> {
    if hello.protocol != PROTOCOL {
        let message = format!(
            "the sidecar speaks protocol {}, this control plane {PROTOCOL}: run the same version of both",
            hello.protocol
        );
        let known = [("protocol", PROTOCOL.to_string())];
        return Err(status(Code::FailedPrecondition, "PROTOCOL", message, known));
    }
    if hello.sidecar.is_empty() || hello.sidecar.len() > NAME_BYTES {
        return Err(bad_field(
            "hello.sidecar",
            "is the sidecar's name, 1 to 253 bytes",
        ));
    }
    if hello.incarnation == 0 {
        return Err(bad_field(
            "hello.incarnation",
            "is a random number, new at every start, not 0",
        ));
    }
    if hello.models.len() > MODELS || hello.held.len() > MODELS {
        return Err(bad_field("hello.models", "has more than 1024 models"));
    }
    let texts = hello.labels.iter().flat_map(|(name, value)| [name, value]);
    if let Some(fault) = texts.into_iter().find_map(|text| fault(text)) {
        return Err(bad_field("hello.labels", fault));
    }
    if hello.labels.len() > MOST_LABELS {
        return Err(bad_field(
            "hello.labels",
            format!("has more than {MOST_LABELS} labels"),
        ));
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named() {
        let good = v1::Hello {
            sidecar: "host-a".into(),
            incarnation: 1,
            protocol: PROTOCOL,
            ..v1::Hello::default()
        };
        check(good.clone()).unwrap();
        let cases = [
            (
                v1::Hello {
                    protocol: 2,
                    ..good.clone()
                },
                "protocol 2",
            ),
            (
                v1::Hello {
                    sidecar: String::new(),
                    ..good.clone()
                },
                "hello.sidecar",
            ),
            (
                v1::Hello {
                    sidecar: "x".repeat(254),
                    ..good.clone()
                },
                "hello.sidecar",
            ),
            (
                v1::Hello {
                    incarnation: 0,
                    ..good.clone()
                },
                "hello.incarnation",
            ),
            (
                v1::Hello {
                    models: vec![String::new(); 1025],
                    ..good.clone()
                },
                "hello.models",
            ),
            (
                v1::Hello {
                    labels: [("ring".into(), "no good".into())].into(),
                    ..good
                },
                "hello.labels",
            ),
        ];
        for (hello, part) in cases {
            let status = check(hello).unwrap_err();
            assert!(status.message().contains(part), "{status}");
        }
    }
}
