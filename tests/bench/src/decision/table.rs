//! The table: one row per scenario, the columns of the reference.

use super::Replica;
use serinus_simulation::{End, Scenario, Truth, clopper_pearson, oracle_seconds, quantile};
use std::collections::BTreeMap;

const COLUMNS: &str = "scenario,truth,policy,reps,wrong,rollback,promote,inconclusive,t_rollback_med_s,\
t_rollback_p90_s,t_promote_med_s,bad_requests_med,bad_requests_mean,oracle_s,cpu_s";

/// What was measured in one scenario. Shares are fractions of the replicas.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) scenario: String,
    truth: Truth,
    replicas: usize,
    pub(super) rollback: f64,
    pub(super) promote: f64,
    /// From the time at which the canary became what it is, of the rollbacks after it.
    rollback_s: Vec<f64>,
    promote_s: Vec<f64>,
    /// Requests that a bad canary served.
    bad_requests: Vec<f64>,
    oracle_s: Option<f64>,
    cpu_s: f64,
    causes: BTreeMap<String, usize>,
}

impl Row {
    pub(super) fn of(scenario: &Scenario, replicas: &[Replica]) -> Self {
        let mut row = Self {
            scenario: scenario.name.clone(),
            truth: scenario.truth,
            replicas: replicas.len(),
            rollback: 0.0,
            promote: 0.0,
            rollback_s: Vec::new(),
            promote_s: Vec::new(),
            bad_requests: Vec::new(),
            oracle_s: None,
            cpu_s: replicas
                .iter()
                .map(|replica| replica.took.as_secs_f64())
                .sum(),
            causes: BTreeMap::new(),
        };
        for replica in replicas {
            row.add(scenario, replica);
        }
        if scenario.truth == Truth::Bad {
            row.oracle_s = Some(oracle_seconds(scenario));
        }
        row
    }

    fn add(&mut self, scenario: &Scenario, replica: &Replica) {
        let outcome = &replica.outcome;
        let each = 1.0 / self.replicas as f64;
        let mut served = outcome.canary.n as f64;
        match &outcome.end {
            End::RolledBack { cause, guardrails } => {
                self.rollback += each;
                let after_s = outcome.at_s - scenario.canary_change_at;
                self.rollback_s
                    .extend(Some(after_s).filter(|after_s| *after_s > 0.0));
                *self
                    .causes
                    .entry(format!("{} {guardrails:?}", cause.as_str_name()))
                    .or_default() += 1;
            }
            End::Promoted => {
                self.promote += each;
                self.promote_s.push(outcome.at_s);
                // From then on the canary has all traffic.
                let from_s = outcome.at_s.max(scenario.canary_change_at);
                served += scenario.rate * (scenario.horizon - from_s).max(0.0);
            }
            End::Held(cause) => {
                *self
                    .causes
                    .entry(format!("held {}", cause.as_str_name()))
                    .or_default() += 1;
            }
            End::Undecided => {}
        }
        if self.truth == Truth::Bad {
            self.bad_requests.push(served);
        }
    }

    /// Rolled back though it is good, or promoted though it is bad.
    pub(super) fn wrong(&self) -> f64 {
        match self.truth {
            Truth::Null | Truth::Good => self.rollback,
            Truth::Bad => self.promote,
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let wrong = (self.wrong() * self.replicas as f64).round() as u64;
        let interval = clopper_pearson(wrong, self.replicas as u64);
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        format!(
            "{:28} wrong {:.3} [{:.3}, {:.3}]  rollback {:.3} after {}  promoted {:.3} after {}  {:?}",
            self.scenario,
            self.wrong(),
            interval.lower,
            interval.upper,
            self.rollback,
            cell(quantile(&self.rollback_s, 0.5)),
            self.promote,
            cell(quantile(&self.promote_s, 0.5)),
            self.causes,
        )
    }

    fn cells(&self) -> [String; 15] {
        let optional = |value: Option<f64>| value.map_or_else(String::new, number);
        let mean = self.bad_requests.iter().sum::<f64>() / self.bad_requests.len() as f64;
        let inconclusive = (1.0 - self.rollback - self.promote).abs();
        [
            self.scenario.clone(),
            self.truth.name().to_owned(),
            "serinus".to_owned(),
            self.replicas.to_string(),
            number(self.wrong()),
            number(self.rollback),
            number(self.promote),
            number(inconclusive),
            optional(quantile(&self.rollback_s, 0.5)),
            optional(quantile(&self.rollback_s, 0.9)),
            optional(quantile(&self.promote_s, 0.5)),
            optional(quantile(&self.bad_requests, 0.5)),
            optional(Some(mean).filter(|mean| !mean.is_nan())),
            optional(self.oracle_s),
            number((self.cpu_s * 10.0).round() / 10.0),
        ]
    }
}

/// Three digits after the point below ten, none above.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.0}")
    }
}

/// The file, with the line ends that RFC 4180 asks for.
pub(super) fn csv(rows: &[Row]) -> String {
    let lines = rows
        .iter()
        .map(|row| format!("{}\r\n", row.cells().map(quoted).join(",")));
    std::iter::once(format!("{COLUMNS}\r\n"))
        .chain(lines)
        .collect()
}

fn quoted(cell: String) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}
