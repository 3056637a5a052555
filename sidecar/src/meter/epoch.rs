//! The counts of one rollout's epoch.

use super::Tally;
use super::contents::Counting;
use crate::inspect::Findings;
use crate::route::split::User;
use crate::shared::Portion;
use crate::table::Route;
use serinus_common::bucket::CLUSTERS;
use serinus_common::class::Class;
use serinus_common::distinct::Distinct;
use serinus_common::sketch::Recorder;
use serinus_proto::v1;
use std::cell::{Cell, RefCell};

const GROUPS: usize = CLUSTERS as usize;
/// Position of the stable variant.
const STABLE: usize = 0;

/// The counts of one rollout's epoch, or of a model that has no rollout.
#[derive(Debug)]
pub(crate) struct Epoch {
    model: String,
    rollout: String,
    epoch: u64,
    variants: Vec<(String, RefCell<Live>)>,
    touched: Cell<bool>,
    /// Seconds, up to the end of its youth.
    age: Cell<u32>,
}

/// What is being counted of one variant in the open second, and what is known of its keys.
#[derive(Debug, Default)]
pub(crate) struct Live {
    tally: Tally,
    latency: Recorder,
    in_flight: u64,
    /// From the first body on that said something.
    contents: Option<Box<Counting>>,
    keys: Option<Box<Keys>>,
}

/// How long whom an epoch's variants met is told every second.
const YOUNG_S: u32 = 30;

#[derive(Debug)]
struct Keys {
    distinct: Distinct,
    requests: [u64; GROUPS],
    errors: [u64; GROUPS],
    changed: bool,
}

impl Epoch {
    pub(super) fn new(route: &Route) -> Self {
        let measured = !route.rollout.is_empty();
        let live = || Live {
            keys: measured.then(Box::default),
            ..Live::default()
        };
        let variants = route.variants.iter();
        Self {
            model: route.model.clone(),
            rollout: route.rollout.clone(),
            epoch: route.epoch,
            variants: variants
                .map(|variant| (variant.name.clone(), RefCell::new(live())))
                .collect(),
            touched: Cell::new(true),
            age: Cell::new(0),
        }
    }

    /// Once a second; whether the epoch is still young.
    pub(super) fn grow_older(&self) -> bool {
        let age = self.age.get();
        self.age.set(age.saturating_add(1));
        age < YOUNG_S
    }

    pub(super) fn is_of(&self, route: &Route) -> bool {
        let names = route.variants.iter().map(|variant| &variant.name);
        self.model == route.model
            && self.rollout == route.rollout
            && self.epoch == route.epoch
            && self.variants.iter().map(|(name, _)| name).eq(names)
    }

    /// Counts something of a variant. Positions come from the route that the epoch was made of.
    #[inline]
    pub(crate) fn count(&self, variant: usize, what: impl FnOnce(&mut Live)) {
        if let Some((_, live)) = self.variants.get(variant) {
            self.touched.set(true);
            what(&mut live.borrow_mut());
        }
    }

    pub(super) fn close(
        &self,
        second: u64,
        cells: &mut Vec<v1::Cell>,
        portions: &mut Vec<Portion>,
    ) {
        if !self.touched.replace(false) {
            return;
        }
        let mut cell = Vec::with_capacity(self.variants.len());
        for (index, (name, live)) in self.variants.iter().enumerate() {
            let mut live = live.borrow_mut();
            let mut tally = std::mem::take(&mut live.tally);
            tally.latency = live.latency.take();
            if let Some(contents) = &mut live.contents {
                tally.contents = contents.take();
            }
            if self.is_reported(index, &tally) {
                cell.push(tally.to_cell(name));
            }
            portions.push(Portion {
                model: self.model.clone(),
                rollout: self.rollout.clone(),
                variant: name.clone(),
                tally,
                in_flight: live.in_flight,
            });
            // So that the gauge goes back to zero.
            if live.in_flight > 0 {
                self.touched.set(true);
            }
        }
        if !cell.is_empty() {
            cells.push(v1::Cell {
                rollout: self.rollout.clone(),
                epoch: self.epoch,
                second,
                variants: cell,
                model: if self.rollout.is_empty() {
                    self.model.clone()
                } else {
                    String::new()
                },
            });
        }
    }

    /// Within a rollout everything is; without one, only what stable answered: what a rollout begins with knowing.
    fn is_reported(&self, index: usize, tally: &Tally) -> bool {
        !self.rollout.is_empty() || (index == STABLE && tally.finished() > 0)
    }

    pub(super) fn changed_keys(&self) -> Vec<v1::KeyStatistics> {
        let of = |(name, live): &(String, RefCell<Live>)| {
            let mut live = live.borrow_mut();
            let keys = live.keys.as_mut()?;
            std::mem::take(&mut keys.changed).then(|| v1::KeyStatistics {
                rollout: self.rollout.clone(),
                epoch: self.epoch,
                variant: name.clone(),
                registers: keys.distinct.registers().to_vec(),
                cluster_requests: keys.requests.to_vec(),
                cluster_errors: keys.errors.to_vec(),
            })
        };
        self.variants.iter().filter_map(of).collect()
    }

    /// Nothing is left to be reported.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |live: &Live| live.keys.as_ref().is_none_or(|keys| !keys.changed);
        let mut lives = self.variants.iter();
        !self.touched.get() && lives.all(|(_, live)| settled(&live.borrow()))
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            distinct: Distinct::default(),
            requests: [0; GROUPS],
            errors: [0; GROUPS],
            changed: false,
        }
    }
}

impl Live {
    pub(crate) fn started(&mut self) {
        self.in_flight += 1;
    }

    pub(crate) fn stopped(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request of the split was assigned.
    pub(crate) fn assigned(&mut self, user: Option<User>) {
        self.tally.assigned += 1;
        match (user, &mut self.keys) {
            (Some(user), Some(keys)) => {
                keys.distinct.insert(user.hash);
                keys.changed = true;
            }
            (None, _) => self.tally.unkeyed += 1,
            _ => {}
        }
    }

    /// It has ended.
    pub(crate) fn ended(&mut self, class: Class, micros: u64, user: Option<User>) {
        self.tally.classes[class as usize] += 1;
        if class == Class::Cancelled {
            return;
        }
        self.latency.record(micros);
        if let (Some(user), Some(keys)) = (user, &mut self.keys) {
            let cluster = usize::from(user.cluster) % GROUPS;
            keys.requests[cluster] += 1;
            keys.errors[cluster] += u64::from(class.is_error());
            keys.changed = true;
        }
    }

    pub(crate) fn rescued(&mut self) {
        self.tally.rescued += 1;
    }

    pub(crate) fn user_error(&mut self) {
        self.tally.user_errors += 1;
    }

    pub(crate) fn diverted(&mut self) {
        self.tally.diverted += 1;
    }

    pub(crate) fn overridden(&mut self) {
        self.tally.overrides += 1;
    }

    pub(crate) fn breaker_opened(&mut self) {
        self.tally.breaker_openings += 1;
    }

    pub(crate) fn probe_failed(&mut self) {
        self.tally.failed_probes += 1;
    }

    /// Its body said so much. `failed`: the call is booked as a failure.
    pub(crate) fn found(&mut self, found: &Findings, failed: bool) {
        let contents = self.contents.get_or_insert_default();
        contents.add(found, failed);
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.tally.response_bytes += bytes;
    }
}
