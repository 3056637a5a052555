//! A start that folds from a checkpoint is the same as one that folds everything.

use super::*;
use serinus_control_plane::store::Batch;

const LONG: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
bucketing: {key: "header:x-user-id"}
steps:
  - {split: {v2: 0.3, v1: 0.7}, min_duration: 100h}
  - {split: {v2: 1.0}}
max_duration: 200h
guardrails:
  - {metric: error_rate, margin: 0.02}
  - {metric: latency, ratio: 2, slack: 20ms}
  - {metric: accuracy, margin: 0.1, label_window: 5s}
"#;

#[tokio::test]
async fn a_start_from_a_checkpoint_is_one_from_the_first_slice() -> Result<()> {
    let mut world = World::new(Disk::default(), "digits", 2, 41).await?;
    world.rate = 60;
    world.trouble.labelled = 0.3;
    world.trouble.label_after_ms = 2_000;
    let id = world.apply(LONG).await?.id;
    for _ in 0..3 {
        world.run(640).await?;
        let live = evidence(&world)?;
        let kept = world.store.checkpoints(&id)?;
        ensure!((1..=2).contains(&kept.len()), "{} checkpoints", kept.len());
        let longest = kept.iter().map(|of| of.evidence.len()).max();
        ensure!(longest <= Some(256 * 1024), "{longest:?} bytes");
        world.crash().await?;
        ensure!(
            evidence(&world)? == live,
            "from a checkpoint it is another one"
        );
        let all = kept.iter().map(|of| (id.clone(), of.slices));
        world.store.commit(&Batch {
            drop_checkpoints: all.collect(),
            ..Batch::default()
        })?;
        world.crash().await?;
        ensure!(
            evidence(&world)? == live,
            "from the first slice it is another one"
        );
    }
    Ok(())
}

/// Every number that is shown of it.
fn evidence(world: &World) -> Result<String> {
    let decision = world.rollout()?.decision.clone().unwrap_or_default();
    Ok(format!(
        "{:?} {:?}",
        decision.guardrails, decision.sample_ratio
    ))
}
