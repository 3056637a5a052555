use super::tests::{cell, share, total};
use super::*;
use proptest::prelude::*;

/// The control plane's side: what it has in memory and what is on disk.
#[derive(Default)]
struct Server {
    committed: u64,
    stored: Vec<v1::Cell>,
    received: u64,
    pending: Vec<v1::Cell>,
    finished_before: u64,
}

impl Server {
    /// Takes a report; answers a gap.
    fn take(&mut self, report: v1::ReportRequest) -> Option<v1::ReportAck> {
        if report.seq > self.received + 1 {
            return Some(v1::ReportAck {
                committed_seq: self.committed,
                resend_after: self.received,
                resend: true,
                ..v1::ReportAck::default()
            });
        }
        if report.seq == self.received + 1 {
            assert!(report.finished_before >= self.finished_before);
            self.finished_before = report.finished_before;
            self.received = report.seq;
            self.pending.extend(report.cells);
        }
        None
    }

    fn commit(&mut self) -> v1::ReportAck {
        self.committed = self.received;
        self.stored.append(&mut self.pending);
        v1::ReportAck {
            committed_seq: self.committed,
            ..v1::ReportAck::default()
        }
    }

    fn crash(&mut self) {
        self.pending.clear();
        self.received = self.committed;
        self.finished_before = 0;
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Each worker counts so much and finishes the second.
    Second([u64; 2]),
    /// Sends at most so many reports; some of them may get lost on the way.
    Send { most: usize, lost: u64 },
    /// The control plane stores, and its answer arrives or does not.
    Commit { heard: bool },
    /// The connection breaks.
    Reconnect,
    /// The control plane is killed and comes back.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => [0u64..50, 0u64..50].prop_map(Step::Second),
        5 => (1usize..20, any::<u64>(), any::<bool>()).prop_map(|(most, lost, lossy)| Step::Send { most, lost: if lossy { lost } else { 0 } }),
        3 => any::<bool>().prop_map(|heard| Step::Commit { heard }),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Crash),
    ]
}

struct World {
    ledger: Ledger,
    server: Server,
    second: u64,
    counted: u64,
}

impl World {
    fn act(&mut self, step: &Step) {
        match step {
            Step::Second(counts) => {
                for (worker, &ok) in counts.iter().enumerate() {
                    self.counted += ok;
                    let epoch = 1 + self.second / 50;
                    let cells = vec![cell(epoch, self.second, ok)];
                    self.ledger.seal(share(worker, self.second + 1, cells));
                }
                self.second += 1;
            }
            Step::Send { most, lost } => {
                for position in 0..*most {
                    let Some(report) = self.ledger.next_report() else {
                        break;
                    };
                    if lost >> (position % 64) & 1 == 1 {
                        continue;
                    }
                    if let Some(ack) = self.server.take(report) {
                        self.ledger.ack(&ack).unwrap();
                    }
                }
            }
            Step::Commit { heard } => {
                let ack = self.server.commit();
                if *heard {
                    self.ledger.ack(&ack).unwrap();
                }
            }
            Step::Reconnect => self.ledger.welcome(self.server.committed).unwrap(),
            Step::Crash => {
                self.server.crash();
                self.ledger.welcome(self.server.committed).unwrap();
            }
        }
    }

    /// Everything works again.
    fn settle(&mut self) {
        self.ledger.close();
        self.act(&Step::Reconnect);
        while !self.ledger.is_empty() {
            self.act(&Step::Send {
                most: 1000,
                lost: 0,
            });
            self.act(&Step::Commit { heard: true });
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_counts_twice(steps in prop::collection::vec(step(), 1..400)) {
        let mut world = World { ledger: Ledger::new(2), server: Server::default(), second: 0, counted: 0 };
        for step in &steps {
            world.act(step);
            prop_assert!(world.ledger.backlog().0 <= 2 * BOUND);
        }
        world.settle();
        prop_assert_eq!(total(&world.server.stored), world.counted);
    }

    #[test]
    fn a_long_outage_is_summed_within_its_epochs(seconds in prop::collection::vec([0u64..50, 0u64..50], 1..500)) {
        let mut world = World { ledger: Ledger::new(2), server: Server::default(), second: 0, counted: 0 };
        let mut by_epoch = std::collections::BTreeMap::<u64, u64>::new();
        for counts in &seconds {
            *by_epoch.entry(1 + world.second / 50).or_default() += counts.iter().sum::<u64>();
            world.act(&Step::Second(*counts));
        }
        world.settle();
        for (epoch, sum) in by_epoch {
            let stored: Vec<_> = world.server.stored.iter().filter(|c| c.epoch == epoch).cloned().collect();
            prop_assert_eq!(total(&stored), sum);
        }
    }
}
