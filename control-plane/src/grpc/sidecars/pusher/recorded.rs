use super::*;
use serinus_proto::recording::{STREAMS, read};
use v1::control_message::Message as FromControl;
use v1::sidecar_message::Message as ToControl;

/// Plays what a sidecar said to the code of today, and compares what that answers with what was answered then.
#[test]
fn recorded_streams_are_answered_as_they_were() {
    for (name, bytes) in STREAMS {
        let entries = read(bytes).unwrap();
        let now = Instant::now();
        let mut table = Assignments::default();
        let mut pusher = None;
        let mut pushes = 0;
        for entry in entries {
            let sidecar = entry.sidecar.and_then(|message| message.message);
            let control = entry.control.and_then(|message| message.message);
            match (sidecar, control) {
                (Some(ToControl::Hello(hello)), _) => pusher = Some(Pusher::new(&hello)),
                (Some(ToControl::Ack(ack)), _) => {
                    let answer = pusher.as_mut().unwrap().acknowledge(&ack);
                    assert_ne!(answer, Answer::Old, "{name}");
                }
                (Some(ToControl::Resync(resync)), _) => {
                    pusher.as_mut().unwrap().resync(&resync.held);
                }
                (_, Some(FromControl::Push(push))) => {
                    for assignment in &push.assignments {
                        let model = assignment.model.clone();
                        table.by_model.insert(model, Arc::new(assignment.clone()));
                    }
                    for model in &push.removed {
                        table.by_model.remove(model);
                    }
                    let due = pusher.as_mut().unwrap().next(&table, now);
                    assert_eq!(due, Some(push), "{name}");
                    pushes += 1;
                }
                (_, Some(FromControl::Heartbeat(beat))) => {
                    assert_eq!(pusher.as_ref().unwrap().heartbeat(&table), beat, "{name}");
                }
                _ => {}
            }
        }
        assert!(pushes >= 4, "{name} has {pushes} pushes");
        assert_eq!(
            pusher.unwrap().deadline(),
            None,
            "{name}: all were answered"
        );
    }
}
