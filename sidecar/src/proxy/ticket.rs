//! What a call is booked on. A ticket that is dropped before its call has ended books that the caller hung up.

use super::choose::{Chosen, Mode};
use crate::breaker::Change;
use crate::inspect::Findings;
use crate::meter::Live;
use crate::worker::{LocalEvent, LocalRoute, Worker};
use http::HeaderValue;
use serinus_common::class::Class;
use serinus_common::prediction_id::{PredictionId, TEXT_LEN};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// Cluster in prediction ids of requests without a key.
const NO_CLUSTER: u8 = 255;

/// When a call began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) start: Instant,
    pub(crate) unix_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Ticket {
    worker: Rc<Worker>,
    route: Rc<LocalRoute>,
    begun: Begun,
    chosen: Chosen,
    serving: usize,
    late: Cell<bool>,
    /// Latency until the answer's head, where that is what counts.
    head_micros: Option<u64>,
    /// The canary's failure is booked; stable answers.
    charged: bool,
    ended: bool,
}

impl Ticket {
    /// `None` if the variant has too many requests in flight; then nothing is booked. A canary that has too many is
    /// charged as overloaded, and stable answers: it may be the canary that is slow.
    pub(crate) fn open(
        worker: &Rc<Worker>,
        route: &Rc<LocalRoute>,
        begun: Begun,
        chosen: Chosen,
    ) -> Option<Self> {
        let wanted = match chosen.mode {
            Mode::Diverted => 0,
            _ => chosen.variant,
        };
        let serving = enter(
            route,
            wanted,
            chosen.mode,
            worker.limits.in_flight_per_variant,
        )?;
        worker.meters.at(begun.unix_ms / 1000);
        let meter = route.meter();
        meter.count(serving, Live::started);
        match chosen.mode {
            Mode::Judged | Mode::Probe => {
                meter.count(chosen.variant, |live| live.assigned(chosen.user));
            }
            Mode::Override => meter.count(chosen.variant, Live::overridden),
            Mode::Diverted => meter.count(chosen.variant, Live::diverted),
            Mode::Unmeasured => {}
        }
        route.earn();
        let mut ticket = Self {
            worker: Rc::clone(worker),
            route: Rc::clone(route),
            begun,
            chosen,
            serving,
            late: Cell::new(false),
            head_micros: None,
            charged: false,
            ended: false,
        };
        if serving != wanted {
            ticket.charge(Class::Overload, begun.start);
            ticket.charged = true;
            meter.count(wanted, Live::rescued);
        }
        Some(ticket)
    }

    /// The variant that answers.
    pub(crate) fn serving(&self) -> usize {
        self.serving
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.chosen.mode == Mode::Probe
    }

    /// The attempt has exceeded its bound.
    pub(crate) fn is_late(&self) {
        self.late.set(true);
    }

    /// The answer is a stream: its latency is that of its head, which is now.
    pub(crate) fn stop_clock(&mut self) {
        self.head_micros = Some(micros(self.begun.start, Instant::now()));
    }

    /// Charges the canary; from here on stable answers.
    pub(crate) fn rescue(&mut self, class: Class) {
        let now = Instant::now();
        self.charge(class, now);
        self.charged = true;
        if self.is_counted() {
            self.route.meter().count(self.serving, Live::rescued);
        }
        self.leave();
        self.serving = 0;
        self.route.enter(0, usize::MAX);
        self.route.meter().count(0, Live::started);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        if self.is_counted() && !self.charged {
            self.route
                .meter()
                .count(self.serving, |live| live.sent(bytes));
        }
    }

    /// The call has ended, in what the application saw. Only the first time counts.
    pub(crate) fn end(&mut self, seen: Class) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = Instant::now();
        if !self.charged {
            let too_slow = self.late.get() && matches!(seen, Class::Ok | Class::Client);
            self.charge(if too_slow { Class::Timeout } else { seen }, now);
        }
        if seen.is_failure() && self.chosen.mode != Mode::Unmeasured {
            let variant = match self.chosen.mode {
                Mode::Diverted => 0,
                _ => self.chosen.variant,
            };
            self.worker.meters.at(self.worker.timeline.ms(now) / 1000);
            self.route.meter().count(variant, Live::user_error);
        }
        self.leave();
    }

    /// The call has ended, and its answer's body had something to say.
    pub(crate) fn end_found(&mut self, seen: Class, found: &Findings) {
        let class = found.over(seen);
        if !self.ended && self.is_counted() && !self.charged {
            let now_ms = self.worker.timeline.ms(Instant::now());
            self.worker.meters.at(now_ms / 1000);
            let meter = self.route.meter();
            meter.count(self.serving, |live| live.found(found, class.is_failure()));
        }
        self.end(class);
    }

    /// Microseconds since the call began.
    pub(crate) fn elapsed_micros(&self) -> u64 {
        micros(self.begun.start, Instant::now())
    }

    fn is_counted(&self) -> bool {
        matches!(self.chosen.mode, Mode::Judged | Mode::Probe)
    }

    fn leave(&self) {
        self.route.leave(self.serving);
        self.route.meter().count(self.serving, Live::stopped);
    }

    fn charge(&self, class: Class, now: Instant) {
        if !self.is_counted() {
            return;
        }
        let now_ms = self.worker.timeline.ms(now);
        let micros = self
            .head_micros
            .unwrap_or_else(|| micros(self.begun.start, now));
        let variant = self.chosen.variant;
        self.worker.meters.at(now_ms / 1000);
        let meter = self.route.meter();
        meter.count(variant, |live| live.ended(class, micros, self.chosen.user));
        let Some(breaker) = &self.route.route().variants[variant].breaker else {
            return;
        };
        if class == Class::Cancelled {
            return;
        }
        if self.is_probe() && class.is_failure() {
            meter.count(variant, Live::probe_failed);
        }
        if let Some(change) = breaker.record(now_ms, self.is_probe(), class.is_failure()) {
            self.announce(change);
        }
    }

    fn announce(&self, change: Change) {
        let route = self.route.route();
        let variant = self.chosen.variant;
        let (model, rollout) = (route.model.clone(), route.rollout.clone());
        let name = route.variants[variant].name.clone();
        let event = match change {
            Change::Opened => {
                self.route.meter().count(variant, Live::breaker_opened);
                tracing::warn!(%model, %rollout, variant = %name, "breaker opened: stable answers instead");
                LocalEvent::BreakerOpened {
                    model,
                    rollout,
                    variant: name,
                }
            }
            Change::Closed => {
                tracing::info!(%model, %rollout, variant = %name, "breaker closed");
                LocalEvent::BreakerClosed {
                    model,
                    rollout,
                    variant: name,
                }
            }
        };
        // Nobody listens while the sidecar is shutting down.
        let _ = self.worker.events.send(event);
    }

    /// For outcomes. Answers that count for nobody carry no rollout, so that their outcomes count for nobody either.
    pub(crate) fn prediction_text(&self) -> [u8; TEXT_LEN] {
        let route = self.route.route();
        let counts = self.is_counted() && !self.charged;
        let second = self.begun.unix_ms / 1000;
        let id = PredictionId {
            key_id: self.route.id_key().id,
            rollout: if counts { route.rollout_id } else { [0; 16] },
            epoch: if counts {
                u32::try_from(route.epoch).unwrap_or(u32::MAX)
            } else {
                0
            },
            // A table has at most 255 variants.
            variant: self.serving as u8,
            cluster: self.chosen.user.map_or(NO_CLUSTER, |user| user.cluster),
            issuer: self.route.issuer(),
            sequence: self.worker.next_sequence(),
            second: u32::try_from(second).unwrap_or(u32::MAX),
        };
        id.text(self.route.id_key())
    }

    /// The same as a header.
    pub(crate) fn prediction_id(&self) -> HeaderValue {
        // URL-safe base64 is a valid header value.
        HeaderValue::from_bytes(&self.prediction_text())
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// The variant that may answer, now with one more request in flight.
fn enter(route: &LocalRoute, wanted: usize, mode: Mode, most: usize) -> Option<usize> {
    if route.enter(wanted, most) {
        return Some(wanted);
    }
    let judged = matches!(mode, Mode::Judged | Mode::Probe);
    let replaceable = wanted != 0 && judged && route.policy().rescue;
    (replaceable && route.enter(0, most)).then_some(0)
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Class::Cancelled);
    }
}

fn micros(start: Instant, end: Instant) -> u64 {
    end.saturating_duration_since(start).as_micros() as u64
}
