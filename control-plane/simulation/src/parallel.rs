//! Independent jobs on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};

/// As many threads as the machine offers.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The results of jobs `0..jobs` in their order. `done` hears after each job how many are done; it is called from the
/// working threads.
pub fn map<T: Send>(
    jobs: usize,
    threads: usize,
    done: impl Fn(usize) + Sync,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let take_all = || {
        let mut mine = Vec::new();
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                return mine;
            }
            mine.push((job, work(job)));
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, jobs.max(1)))
            .map(|_| scope.spawn(take_all))
            .collect();
        let joined = workers.into_iter().flat_map(|worker| match worker.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    });
    results.sort_by_key(|(job, _)| *job);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_whatever_the_threads() {
        for threads in [1, 3, 64] {
            let heard = AtomicUsize::new(0);
            let done = |_| {
                heard.fetch_add(1, Ordering::Relaxed);
            };
            let squares = map(20, threads, done, |job| job * job);
            assert_eq!(squares, (0..20).map(|job| job * job).collect::<Vec<_>>());
            assert_eq!(heard.into_inner(), 20);
        }
        assert!(map(0, 2, |_| (), |job| job).is_empty());
    }
}
