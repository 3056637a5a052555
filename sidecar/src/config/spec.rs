//! What the data path needs of the configuration.

use super::{Limits, Model, Sidecar};
use crate::limits;
use crate::table::{Matcher, MatcherError, ModelSpec, StaticSplit};
use crate::worker::Settings;
use std::collections::BTreeMap;

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
        });
        Ok(ModelSpec {
            name: self.name.clone(),
            matcher: self.matcher()?,
            stable_name: self.stable_name.clone(),
            stable: self.stable.clone(),
            endpoints: self.endpoints.clone(),
            rewrites: self.rewrite.clone(),
            split,
        })
    }
}

impl Sidecar {
    /// How the workers are set up.
    #[must_use]
    pub fn worker_settings(&self) -> Settings {
        Settings {
            listen: self.listen,
            workers: self.workers,
            limits: self.limits.clone().into(),
            grace: self.drain,
        }
    }
}

impl From<Limits> for limits::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            head_bytes: limits.head_bytes,
            body_bytes: limits.body_bytes,
            replay_bytes: limits.replay_bytes,
            connections: limits.connections,
            in_flight_per_variant: limits.in_flight_per_variant,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            connect_timeout: limits.connect_timeout,
        }
    }
}
