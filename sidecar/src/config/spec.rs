//! What the data path needs of the configuration.

use super::{Limits, Model, Rule, Sidecar};
use crate::limits;
use crate::listen;
use crate::table::{Matcher, MatcherError, ModelSpec, StaticSplit};
use crate::tls::Tls;
use crate::worker::{DrainPatience, Settings};
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the system has room for, less what a name for the time of binding takes.
pub(super) const HANDOVER_PATH: usize = 95;

/// How long idle connections stay open in a drain, at most.
const LINGER: Duration = Duration::from_secs(2);

/// For what is left to tell when the last request has ended, at least.
const LAST_REPORT: Duration = Duration::from_secs(2);

impl Model {
    /// How its requests are recognised.
    ///
    /// # Errors
    /// If `match` is none of the known forms; a configuration that was loaded has none of these.
    pub fn matcher(&self) -> Result<Matcher, MatcherError> {
        self.matching
            .as_deref()
            .map_or(Ok(Matcher::Default), str::parse)
    }

    /// As the routing table is compiled from it.
    ///
    /// # Errors
    /// See [`Model::matcher`].
    pub fn spec(&self) -> Result<ModelSpec, MatcherError> {
        let mut shares: BTreeMap<String, f64> = self.split.clone();
        shares.remove(&self.stable_name);
        let split = (!shares.is_empty()).then(|| StaticSplit {
            shares,
            key: self.key.clone(),
            salt: self.salt.clone(),
            sticky: self.sticky,
            targeting: self.rules().filter_map(Result::ok).collect(),
        });
        Ok(ModelSpec {
            killed: false,
            name: self.name.clone(),
            matcher: self.matcher()?,
            stable_name: self.stable_name.clone(),
            stable: self.stable.clone(),
            endpoints: self.endpoints.clone(),
            rewrites: self.rewrite.clone(),
            stream: self.stream,
            streams: self.streams.clone(),
            ready_path: self.ready_path.clone(),
            split,
        })
    }

    /// The targeting rules, as in an assignment; a configuration that was loaded has only good ones.
    pub(super) fn rules(&self) -> impl Iterator<Item = Result<v1::TargetingRule, &'static str>> {
        self.targeting.iter().map(Rule::to_contract)
    }
}

impl Sidecar {
    /// How the workers are set up.
    #[must_use]
    pub fn worker_settings(&self, tls: Arc<Tls>) -> Settings {
        Settings {
            tls,
            workers: self.workers,
            limits: self.limits.clone().into(),
            drain: self.drain_patience(),
        }
    }
}

impl Sidecar {
    /// How to listen.
    #[must_use]
    pub fn listening(&self) -> listen::Plan {
        listen::Plan {
            addresses: self.listen.clone(),
            workers: self.workers,
            reuse_port: self.reuse_port,
            socket_mode: self.mode().unwrap_or(0o600),
        }
    }

    /// The file that stops canaries here.
    #[must_use]
    pub fn kill_path(&self) -> Option<PathBuf> {
        let default = || Some(self.state_dir.as_ref()?.join("kill"));
        self.kill_file.clone().or_else(default)
    }

    pub(super) fn mode(&self) -> Option<u32> {
        let mode = u32::from_str_radix(&self.socket_mode, 8).ok()?;
        (mode <= 0o777).then_some(mode)
    }

    /// Where the next process finds this one.
    #[must_use]
    pub fn handover_path(&self) -> Option<PathBuf> {
        match (self.handover.as_deref(), &self.state_dir) {
            (Some("off"), _) | (None, None) => None,
            (Some(path), _) => Some(path.into()),
            (None, Some(directory)) => Some(directory.join("handover.sock")),
        }
    }

    /// The data path leaves the last part of `drain` for the last report and the outcomes.
    fn drain_patience(&self) -> DrainPatience {
        let linger = LINGER.min(self.drain / 2);
        let rest = self.drain - linger;
        DrainPatience {
            linger,
            finish: rest - LAST_REPORT.min(rest / 2),
        }
    }
}

impl From<Limits> for limits::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            head_bytes: limits.head_bytes,
            body_bytes: limits.body_bytes,
            replay_bytes: limits.replay_bytes,
            inspect_bytes: limits.inspect_bytes,
            connections: limits.connections,
            in_flight_per_variant: limits.in_flight_per_variant,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            connect_timeout: limits.connect_timeout,
        }
    }
}
