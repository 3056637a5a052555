//! Every rule of the configuration, all mistakes at once.

use super::spec::HANDOVER_PATH;
use super::{Limits, Model, Sidecar};
use crate::route::key::KeySource;
use crate::table::{Address, Matcher, Scheme};
use serinus_common::ppm::Ppm;
use std::collections::BTreeSet;
use std::time::Duration;
use thiserror::Error;

/// Everything that is wrong with a configuration, each with its key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the configuration has {} mistake(s):\n  {}", .0.len(), .0.join("\n  "))]
pub struct Mistakes(pub Vec<String>);

pub(super) fn check(config: &Sidecar) -> Result<(), Mistakes> {
    let mut found = Vec::new();
    general(config, &mut found);
    super::tls::check(config, &mut found);
    limits(&config.limits, &mut found);
    control_plane(config, &mut found);
    if config.models.is_empty() {
        found.push("model: there is none; add [[model]] with a name and stable = [\"http://127.0.0.1:9001\"]".into());
    }
    let mut names = BTreeSet::new();
    let mut rules = BTreeSet::new();
    for (position, model) in config.models.iter().enumerate() {
        let at = format!("model[{position}]");
        check_model(&at, model, &mut found);
        if !names.insert(&model.name) {
            found.push(format!("{at}.name: \"{}\" is there twice", model.name));
        }
        match model.matcher() {
            Ok(Matcher::Default | Matcher::Oip) => {}
            Ok(_) if rules.insert(&model.matching) => {}
            Ok(_) => found.push(format!(
                "{at}.match: \"{}\" is taken by another model",
                model.matching.as_deref().unwrap_or_default()
            )),
            Err(error) => found.push(format!("{at}.{error}")),
        }
        let known =
            |name: &String| *name == model.stable_name || model.endpoints.contains_key(name);
        // The plan may name any variant.
        let rewrites = model
            .rewrite
            .keys()
            .filter(|_| config.control_plane.is_empty());
        for variant in rewrites.filter(|name| !known(name)) {
            found.push(format!(
                "{at}.rewrite.{variant}: unknown; write {at}.rewrite.{}, or add {at}.endpoints.{variant} = [\"http://...\"]",
                model.stable_name
            ));
        }
        if !model.split.is_empty() && !config.control_plane.is_empty() {
            found.push(format!(
                "{at}.split: a fixed split and a control plane exclude each other; remove one"
            ));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Mistakes(found))
}

fn labels(config: &Sidecar, found: &mut Vec<String>) {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let good = |text: &str| (1..=63).contains(&text.len()) && text.chars().all(inner);
    if config.labels.len() > 16 {
        found.push(format!(
            "labels: {} of them; at most 16",
            config.labels.len()
        ));
    }
    for (name, value) in &config.labels {
        if !good(name) || !good(value) {
            found.push(format!(
                "labels.{name}: names and values are letters, digits and ._-/, 1 to 63 characters, not \"{value}\""
            ));
        }
    }
}

fn general(config: &Sidecar, found: &mut Vec<String>) {
    if config.name.len() > 253 || config.name.chars().any(|c| c.is_control() || c == ' ') {
        found.push("name: at most 253 characters, without blanks".into());
    }
    listen(config, found);
    labels(config, found);
    if config.workers == 0 || config.workers > 256 {
        found.push(format!("workers: {} is not in 1..=256", config.workers));
    }
    if config.outcomes.spool_bytes < 1 << 20 {
        found.push("outcomes.spool_bytes: at least 1048576 (1 MiB)".into());
    }
    if !(1024..=32 << 20).contains(&config.outcomes.request_bytes) {
        found.push("outcomes.request_bytes: not in 1024..=33554432 (32 MiB)".into());
    }
}

fn listen(config: &Sidecar, found: &mut Vec<String>) {
    if config.listen.is_empty() {
        found.push("listen: there is none; write such as \"127.0.0.1:7410\"".into());
    }
    for (position, address) in config.listen.iter().enumerate() {
        let fixed = address.tcp().is_none_or(|address| address.port() != 0);
        if fixed && config.listen[..position].contains(address) {
            found.push(format!("listen: {address} is there twice"));
        }
        if fixed && address.tcp() == Some(config.admin) {
            found.push(format!("admin: {address} is the address of listen too"));
        }
    }
    if config.mode().is_none() {
        found.push(format!(
            "socket_mode: \"{}\"; write permissions such as \"0600\" or \"0660\"",
            config.socket_mode
        ));
    }
    if config
        .kill_file
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        found.push("kill_file: write an absolute path".to_owned());
    }
    let handover = config.handover.as_deref().filter(|path| *path != "off");
    if let Some(path) = handover
        && (!path.starts_with('/') || path.len() > HANDOVER_PATH)
    {
        found.push(format!(
            "handover: \"{path}\"; write \"off\", or an absolute path of at most {HANDOVER_PATH} bytes"
        ));
    }
}

fn limits(limits: &Limits, found: &mut Vec<String>) {
    for (key, value, least) in [
        ("head_bytes", limits.head_bytes, 1024),
        ("connections", limits.connections, 1),
        ("in_flight_per_variant", limits.in_flight_per_variant, 1),
    ] {
        if value < least {
            found.push(format!("limits.{key}: {value} is below {least}"));
        }
    }
    if limits.body_bytes < limits.replay_bytes as u64 {
        found.push("limits.replay_bytes: more than limits.body_bytes".into());
    }
    if limits.body_bytes < limits.inspect_bytes as u64 {
        found.push("limits.inspect_bytes: more than limits.body_bytes".into());
    }
    for (key, value) in [
        ("header_timeout", limits.header_timeout),
        ("idle_timeout", limits.idle_timeout),
        ("connect_timeout", limits.connect_timeout),
    ] {
        if value == Duration::ZERO {
            found.push(format!("limits.{key}: must be longer than 0"));
        }
    }
}

fn control_plane(config: &Sidecar, found: &mut Vec<String>) {
    for url in &config.control_plane {
        match Address::parse(url) {
            Ok(address) if !matches!(address.scheme(), Scheme::Http | Scheme::Https) => {
                found.push(format!(
                    "control_plane: \"{url}\": write http:// or https://"
                ));
            }
            Ok(address) if !address.prefix().is_empty() => {
                found.push(format!("control_plane: \"{url}\" has a path; remove it"));
            }
            Ok(_) => {}
            Err(error) => found.push(format!("control_plane: {error}")),
        }
    }
    if !config.control_plane.is_empty() && config.state_dir.is_none() {
        found.push(
            "state_dir: name a directory; latches and the last assignments must survive a restart"
                .into(),
        );
    }
    if config.control_plane.is_empty() && config.token_file.is_some() {
        found.push("token_file: there is no control_plane to send it to".into());
    }
}

fn check_model(at: &str, model: &Model, found: &mut Vec<String>) {
    if model.name.is_empty() || model.name.len() > 253 || !model.name.chars().all(plain) {
        found.push(format!(
            "{at}.name: \"{}\"; letters, digits, '.', '_', '-' and '/', at most 253",
            model.name
        ));
    }
    variant_name(&format!("{at}.stable_name"), &model.stable_name, found);
    urls(&format!("{at}.stable"), &model.stable, found);
    for (variant, list) in &model.endpoints {
        variant_name(&format!("{at}.endpoints"), variant, found);
        urls(&format!("{at}.endpoints.{variant}"), list, found);
    }
    for variant in model.streams.keys() {
        variant_name(&format!("{at}.streams"), variant, found);
    }
    for (variant, rewrite) in &model.rewrite {
        variant_name(&format!("{at}.rewrite"), variant, found);
        for (field, why) in rewrite.mistakes() {
            let dot = if field.is_empty() { "" } else { "." };
            found.push(format!("{at}.rewrite.{variant}{dot}{field}: {why}"));
        }
    }
    key(at, &model.key, found);
    choosing(at, model, found);
    split(at, model, found);
}

fn plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')
}

fn variant_name(at: &str, name: &str, found: &mut Vec<String>) {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        found.push(format!(
            "{at}: \"{name}\" is no variant name: letters, digits, '.', '_', '-', at most 63"
        ));
    }
}

fn urls(at: &str, list: &[String], found: &mut Vec<String>) {
    if list.is_empty() {
        found.push(format!(
            "{at}: there is none; write at least one base address such as [\"http://127.0.0.1:9001\"]"
        ));
    }
    for url in list {
        if let Err(error) = Address::parse(url) {
            found.push(format!("{at}: {error}"));
        }
    }
}

fn key(at: &str, key: &str, found: &mut Vec<String>) {
    // An empty key means something in an assignment only.
    let key = if key.is_empty() { "\"\"" } else { key };
    if let Err(error) = key.parse::<KeySource>() {
        found.push(format!("{at}.key: {error}"));
    }
}

/// What only a fixed split can have.
fn choosing(at: &str, model: &Model, found: &mut Vec<String>) {
    if model.sticky && !model.key.starts_with("cookie:") {
        found.push(format!("{at}.sticky: goes with key = \"cookie:NAME\""));
    }
    if model.split.is_empty() && (model.sticky || !model.targeting.is_empty()) {
        found.push(format!(
            "{at}: sticky and targeting go with a fixed split; with a control plane they are the plan's"
        ));
    }
    if let Some(path) = &model.ready_path
        && !(path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok())
    {
        found.push(format!(
            "{at}.ready_path: \"{path}\" is no path; write such as \"/ready\""
        ));
    }
    for (position, rule) in model.rules().enumerate() {
        if let Err(why) = rule {
            found.push(format!("{at}.targeting[{position}]: {why}"));
        }
    }
}

fn split(at: &str, model: &Model, found: &mut Vec<String>) {
    let mut sum = 0.0;
    let before = found.len();
    for (variant, &fraction) in &model.split {
        if let Err(error) = Ppm::from_fraction(fraction) {
            found.push(format!("{at}.split.{variant}: {error}"));
        }
        if *variant != model.stable_name && !model.endpoints.contains_key(variant) {
            found.push(format!(
                "{at}.split.{variant}: unknown; add {at}.endpoints.{variant} = [\"http://...\"]"
            ));
        }
        sum += fraction;
    }
    let whole = model.split.contains_key(&model.stable_name);
    if found.len() == before && (sum > 1.0 + 1e-9 || (whole && sum < 1.0 - 1e-9)) {
        found.push(format!(
            "{at}.split: the fractions sum to {sum}; with {} they must sum to 1.0",
            model.stable_name
        ));
    }
}
