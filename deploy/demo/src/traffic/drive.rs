//! The loop that sends, and how it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::ask::{Source, ask};
use super::pace::Pacer;
use super::state::Shared;

/// How often due requests are sent; at 1000 requests per second, two at a time.
const TICK: Duration = Duration::from_millis(2);

/// What the owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Stopped,
}

/// Sends until the configured duration is over or the owner stops it, then winds down.
pub(super) async fn drive(shared: Arc<Shared>, mut phases: watch::Receiver<Phase>) {
    let (no_more, last) = watch::channel(false);
    let mut couriers = couriers(&shared, &last);
    let mut calls = JoinSet::new();
    let sent_all = tokio::select! {
        () = send(&shared, &mut calls) => true,
        () = stopped(&mut phases) => false,
    };
    while calls.join_next().await.is_some() {}
    if sent_all {
        no_more.send_replace(true);
        tokio::select! {
            () = async { while couriers.join_next().await.is_some() {} } => {}
            () = stopped(&mut phases) => {}
        }
    }
}

/// Waits until the owner says so or is gone.
async fn stopped(phases: &mut watch::Receiver<Phase>) {
    let _ = phases.wait_for(|phase| *phase == Phase::Stopped).await;
}

fn couriers(shared: &Arc<Shared>, last: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Some(outcomes) = &shared.config.outcomes else {
        return tasks;
    };
    for courier in shared.lanes.iter().filter_map(|lane| lane.courier.clone()) {
        let (outcomes, last) = (outcomes.clone(), last.clone());
        tasks.spawn(async move { courier.run(&outcomes, last).await });
    }
    tasks
}

async fn send(shared: &Arc<Shared>, calls: &mut JoinSet<()>) {
    let duration = shared.config.duration;
    let mut source = Source::new(shared);
    let mut pacer = Pacer::default();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = shared.started.elapsed();
        let rate = f64::from_bits(shared.rate.load(Ordering::Relaxed));
        let due = pacer.due(now.min(duration), rate);
        shared.skipped.fetch_add(due.skipped, Ordering::Relaxed);
        for _ in 0..due.send {
            let question = source.next();
            match reserve(shared, question.target) {
                true => drop(calls.spawn(ask(shared.clone(), question))),
                false => drop(shared.skipped.fetch_add(1, Ordering::Relaxed)),
            }
        }
        while calls.try_join_next().is_some() {}
        if now >= duration {
            return;
        }
    }
}

/// Takes a place among the requests under way at `target`, if one is free.
fn reserve(shared: &Shared, target: usize) -> bool {
    let in_flight = &shared.lanes[target].in_flight;
    // Only the sending loop adds: reading and adding need not be one step.
    let free = in_flight.load(Ordering::Relaxed) < shared.config.connections;
    if free {
        in_flight.fetch_add(1, Ordering::Relaxed);
        shared.sent.fetch_add(1, Ordering::Relaxed);
    }
    free
}
