//! A data path for a test, and what it has counted.

use serinus_common::allocation::Allocation;
use serinus_common::ppm::Ppm;
use serinus_common::prediction_id::IdKey;
use serinus_proto::v1;
use serinus_runtime::shutdown::{self, Trigger};
use serinus_sidecar::limits::Limits;
use serinus_sidecar::listen::{self, Listen};
use serinus_sidecar::meter::Tally;
use serinus_sidecar::rewrite::StreamForm;
use serinus_sidecar::shared::Shared;
use serinus_sidecar::table::{Held, Ids, ModelSpec, Table};
use serinus_sidecar::tls::Tls;
use serinus_sidecar::worker::{self, DrainPatience, LocalEvent, Sealed, Settings, Workers};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub const ROLLOUT: &str = "0198c0de-0000-7000-8000-000000000001";
pub const KEY: IdKey = IdKey {
    id: 7,
    secret: *b"0123456789abcdef",
};

/// What is served, before it starts.
pub struct Setup {
    pub assignment: v1::Assignment,
    pub limits: Limits,
    pub workers: usize,
    pub drain: DrainPatience,
    pub listen: Vec<Listen>,
    pub tls: Tls,
    pub stream: StreamForm,
}

impl Setup {
    /// Two variants; `share` of the keys in `x-user-id` go to v2.
    pub fn new(stable: &str, canary: &str, share: f64) -> Self {
        let variant = |name: &str, url: &str| v1::Variant {
            name: name.into(),
            endpoints: vec![url.into()],
            ..Default::default()
        };
        let assignment = v1::Assignment {
            model: "m".into(),
            rollout: ROLLOUT.into(),
            epoch: 3,
            variants: vec![variant("v1", stable), variant("v2", canary)],
            shares: vec![shares(share)],
            bucketing: Some(v1::Bucketing {
                key: "header:x-user-id".into(),
                salt: "salt".into(),
                ..Default::default()
            }),
            failure: Some(v1::Failure {
                timeout: Some(prost_types::Duration::try_from(Duration::from_secs(10)).unwrap()),
                ..Default::default()
            }),
            ..Default::default()
        };
        Self {
            assignment,
            limits: Limits::default(),
            workers: 1,
            drain: DrainPatience {
                linger: Duration::from_millis(50),
                finish: Duration::from_secs(10),
            },
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: Tls::plain(),
            stream: StreamForm::Plain,
        }
    }

    pub fn failure(mut self, change: impl FnOnce(&mut v1::Failure)) -> Self {
        change(self.assignment.failure.as_mut().unwrap());
        self
    }

    /// What calls of a variant are changed to.
    pub fn rewrite(mut self, variant: &str, rewrite: v1::Rewrite) -> Self {
        let mut variants = self.assignment.variants.iter_mut();
        variants.find(|of| of.name == variant).unwrap().rewrite = Some(rewrite);
        self
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub fn start(self) -> Sidecar {
        let shared = Arc::new(Shared::new());
        shared.publish(table(&self.assignment, self.stream));
        let (sealed_out, sealed) = unbounded_channel();
        let (events_out, events) = unbounded_channel();
        let (trigger, drain) = shutdown::channel();
        let settings = Settings {
            workers: self.workers,
            limits: self.limits,
            drain: self.drain,
            tls: Arc::new(self.tls),
        };
        let shared_with = Arc::clone(&shared);
        let listening = listen::Plan {
            addresses: self.listen,
            workers: self.workers,
            reuse_port: false,
            socket_mode: 0o600,
        };
        let sockets = listen::bind(&listening, Vec::new()).unwrap();
        let addresses = listen::addresses(&sockets).unwrap();
        let workers = worker::spawn(
            &settings,
            sockets,
            shared_with,
            sealed_out,
            events_out,
            drain,
        )
        .unwrap();
        Sidecar {
            addr: addresses.iter().find_map(Listen::tcp).unwrap(),
            assignment: self.assignment,
            stream: self.stream,
            workers,
            shared,
            sealed,
            events,
            trigger,
        }
    }
}

pub fn shares(share: f64) -> v1::Share {
    let targets = [("v2", Ppm::from_fraction(share).unwrap())];
    let allocation = Allocation::default().reallocate(&targets).unwrap();
    let owned = &allocation.canaries()[0];
    let ranges = owned.ranges.iter();
    v1::Share {
        variant: "v2".into(),
        ppm: owned.size(),
        ranges: ranges
            .map(|r| v1::BucketRange {
                start: r.start,
                end: r.end,
            })
            .collect(),
    }
}

fn table(assignment: &v1::Assignment, stream: StreamForm) -> Table {
    let spec = ModelSpec {
        name: "m".into(),
        stable_name: "floor".into(),
        stable: vec!["http://127.0.0.1:1".into()],
        stream,
        ..ModelSpec::default()
    };
    let held = Held {
        assignment: assignment.clone(),
        latched: false,
        canary_scale_ppm: 1_000_000,
        frozen: false,
    };
    let ids = Ids {
        issuer: 9,
        key: KEY,
    };
    Table::compile(&[spec], &[held], Some(ids)).unwrap()
}

pub struct Sidecar {
    pub addr: SocketAddr,
    pub shared: Arc<Shared>,
    pub events: UnboundedReceiver<LocalEvent>,
    pub sealed: UnboundedReceiver<Sealed>,
    assignment: v1::Assignment,
    stream: StreamForm,
    workers: Workers,
    trigger: Trigger,
}

/// Everything that was counted.
pub struct Counted {
    pub cells: Vec<v1::Cell>,
    pub keys: Vec<v1::KeyStatistics>,
    pub events: Vec<LocalEvent>,
    totals: BTreeMap<String, Tally>,
}

impl Sidecar {
    /// Puts a changed assignment in force, in the next epoch.
    pub fn reassign(&mut self, change: impl FnOnce(&mut v1::Assignment)) {
        self.assignment.epoch += 1;
        change(&mut self.assignment);
        self.shared.publish(table(&self.assignment, self.stream));
    }

    pub fn start_draining(&self) {
        self.trigger.drain();
    }

    pub fn has_drained(&self) -> bool {
        self.workers.is_finished()
    }

    /// Drains, and gives everything that was counted.
    pub async fn finish(mut self) -> Counted {
        self.trigger.drain();
        tokio::task::spawn_blocking(|| self.workers.join())
            .await
            .unwrap();
        let (mut cells, mut keys, mut events) = (Vec::new(), Vec::new(), Vec::new());
        while let Ok(sealed) = self.sealed.try_recv() {
            cells.extend(sealed.cells);
            keys.extend(sealed.keys);
        }
        while let Ok(event) = self.events.try_recv() {
            events.push(event);
        }
        let totals = self.shared.totals().into_iter();
        Counted {
            cells,
            keys,
            events,
            totals: totals.map(|total| (total.variant, total.tally)).collect(),
        }
    }
}

impl Counted {
    pub fn of(&self, variant: &str) -> &Tally {
        &self.totals[variant]
    }

    /// Sum over the cells, to compare with the totals.
    pub fn in_cells(&self, variant: &str, of: impl Fn(&v1::VariantCell) -> u64) -> u64 {
        let cells = self.cells.iter().flat_map(|cell| &cell.variants);
        cells.filter(|cell| cell.variant == variant).map(of).sum()
    }
}

/// Waits for a condition.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    assert!(waited.is_ok(), "{what} did not happen within 30 s");
}
