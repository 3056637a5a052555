use super::apply::Applier;
use super::clock::Clock;
use super::status::{self, Readiness};
use super::store::Store;
use super::{Probed, ProbedVariant};
use crate::kill::Switch;
use crate::shared::Shared;
use crate::table::ModelSpec;
use serinus_proto::recording::{STREAMS, read};
use serinus_proto::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use v1::control_message::Message as FromControl;
use v1::sidecar_message::Message as ToControl;

/// The checks as a recorded status tells them.
fn probes(variants: &[v1::VariantStatus]) -> Probed {
    let of = |variant: &v1::VariantStatus| {
        let found = ProbedVariant {
            ready: variant.ready,
            ..ProbedVariant::default()
        };
        ((variant.model.clone(), variant.variant.clone()), found)
    };
    variants.iter().map(of).collect()
}

/// Plays what a control plane said to the code of today, and compares what that answers with what was answered then.
#[tokio::test]
async fn recorded_streams_are_answered_as_they_were() {
    for (name, bytes) in STREAMS {
        let time = Arc::new(AtomicU64::new(0));
        let reading = Arc::clone(&time);
        let clock = Clock::from_fn(move || reading.load(Ordering::SeqCst));
        let spec = ModelSpec {
            name: "m".into(),
            stable_name: "v1".into(),
            stable: vec!["http://127.0.0.1:9001".into()],
            ..ModelSpec::default()
        };
        let shared = Arc::new(Shared::new());
        let killed = Switch::new(None).watch();
        let store = Store::nowhere();
        let mut applier = Applier::start(vec![spec], shared, store, clock, 0, killed).unwrap();
        let mut probed = Probed::new();
        let (mut acks, mut answered) = (Vec::new(), 0);
        for entry in read(bytes).unwrap() {
            time.store(entry.at_ms, Ordering::SeqCst);
            let sidecar = entry.sidecar.and_then(|message| message.message);
            let control = entry.control.and_then(|message| message.message);
            match (control, sidecar) {
                (Some(FromControl::Push(push)), _) => {
                    acks.push(applier.push(push, &Readiness(&probed)).await);
                }
                (Some(FromControl::Heartbeat(beat)), _) => {
                    applier.renew(&beat);
                    if let Some(theirs) = beat.state_digest {
                        assert_eq!(applier.digest(), theirs, "{name}");
                    }
                }
                (Some(FromControl::Latch(latch)), _) => applier.latch(&latch).await,
                (_, Some(ToControl::Ack(ack))) => {
                    assert_eq!(acks.remove(0), ack, "{name}");
                    answered += 1;
                }
                (_, Some(ToControl::Status(status))) => {
                    probed.extend(probes(&status.variants));
                    let applied = applier.warmed(&Readiness(&probed));
                    assert_eq!(applied, status.applied, "{name}");
                    let holdings = applier.holdings();
                    let now = status::all(&holdings.borrow(), &[], &Readiness(&probed));
                    assert_eq!(now, status.variants, "{name}");
                }
                _ => {}
            }
        }
        assert!(
            acks.is_empty() && answered >= 4,
            "{name}: {answered} answers"
        );
    }
}
