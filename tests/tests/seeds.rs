//! The plan of `tests/plans/seeds.yaml` through the real engine, many times with other random numbers.

use anyhow::Result;
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1::State;
use serinus_tests::world::{Behaviour, World};

const PLAN: &str = include_str!("../plans/seeds.yaml");
const RUNS: u64 = 200;
/// Of them, how many must end as they should.
const WANTED: usize = 190;
/// Virtual seconds.
const LIMIT: u64 = 1800;

async fn ends(seed: u64, canary_errors: f64) -> Result<State> {
    let mut world = World::new(Disk::default(), "recommender", 3, seed).await?;
    world.canary = Behaviour {
        error_rate: canary_errors,
        ..world.stable
    };
    world.apply(PLAN).await?;
    world
        .run_until(LIMIT, |rollout| {
            matches!(rollout.state(), State::Promoted | State::RolledBack)
        })
        .await?;
    Ok(world.rollout()?.state())
}

/// How many of the runs end in `wanted`.
fn count(canary_errors: f64, wanted: State) -> Result<usize> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = |thread: u64| -> Result<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut good = 0;
        for seed in (1..=RUNS).filter(|seed| seed % threads == thread) {
            good += usize::from(runtime.block_on(ends(seed, canary_errors))? == wanted);
        }
        Ok(good)
    };
    std::thread::scope(|scope| {
        let share = &share;
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || share(thread)))
            .collect();
        let mut sum = 0;
        for worker in workers {
            sum += worker
                .join()
                .map_err(|_| anyhow::anyhow!("a run panicked"))??;
        }
        Ok(sum)
    })
}

#[test]
fn a_canary_identical_to_stable_is_promoted() -> Result<()> {
    let good = count(0.005, State::Promoted)?;
    println!("{good} of {RUNS} promoted");
    assert!(good >= WANTED, "{good} of {RUNS} were promoted");
    Ok(())
}

#[test]
fn a_canary_with_four_times_the_errors_is_rolled_back() -> Result<()> {
    let good = count(0.02, State::RolledBack)?;
    println!("{good} of {RUNS} rolled back");
    assert!(good >= WANTED, "{good} of {RUNS} were rolled back");
    Ok(())
}
