//! From host, path and name to a model.

use super::Matcher;
use crate::head::Head;
use crate::route::kind::is_about_server;
use crate::route::named::{self, Place};
use std::collections::HashMap;

/// Finds the model of a request.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Everything goes here, whatever the path says.
    everything: Option<usize>,
    /// Longest prefix first.
    paths: Vec<(String, usize)>,
    hosts: HashMap<String, usize>,
    names: HashMap<String, Claim>,
    rest: Option<usize>,
    /// The first model that is known by its name: it has the questions about a server that name no model.
    questions: Option<usize>,
}

/// A model that is known by its name.
#[derive(Clone, Copy, Debug)]
struct Claim {
    at: usize,
    /// Only where the Open Inference Protocol has it.
    oip_only: bool,
}

/// What a request's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Model(usize),
    /// The name is in the body.
    InBody(Place),
    Nothing,
}

impl Index {
    /// `models`: name and matcher, in order. Of two models that claim the same, the first one wins.
    pub(super) fn new<'a>(models: impl Iterator<Item = (&'a str, &'a Matcher)>) -> Self {
        let mut index = Self::default();
        let models: Vec<_> = models.collect();
        for (at, (name, matcher)) in models.iter().enumerate() {
            match matcher {
                Matcher::PathPrefix(prefix) => index.paths.push((prefix.clone(), at)),
                Matcher::Host(host) => {
                    index.hosts.entry(host.clone()).or_insert(at);
                }
                Matcher::Any => index.rest = index.rest.or(Some(at)),
                Matcher::Default | Matcher::Oip => {
                    let oip_only = **matcher == Matcher::Oip;
                    let claim = Claim { at, oip_only };
                    index.names.entry((*name).to_owned()).or_insert(claim);
                    index.questions = index.questions.or(Some(at));
                }
            }
        }
        if let [(_, Matcher::Default | Matcher::Any)] = models[..] {
            index.everything = Some(0);
        }
        index
            .paths
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        index
    }

    /// Whether a body can decide.
    pub(super) fn looks_into_bodies(&self) -> bool {
        self.everything.is_none() && !self.names.is_empty()
    }

    #[inline]
    pub(super) fn find(&self, head: &impl Head) -> Found {
        match self.everything {
            Some(at) => Found::Model(at),
            None => self.find_one(head),
        }
    }

    fn find_one(&self, head: &impl Head) -> Found {
        let path = head.path();
        let by_rule = self.by_path(path).or_else(|| self.by_host(head.host()?));
        if let Some(at) = by_rule.or_else(|| self.by_name(head)) {
            return Found::Model(at);
        }
        if !self.names.is_empty()
            && let Some(place) = named::in_body(head.method(), path)
        {
            return Found::InBody(place);
        }
        let questions = || {
            self.questions
                .filter(|_| is_about_server(head.method(), path))
        };
        match self.rest.or_else(questions) {
            Some(at) => Found::Model(at),
            None => Found::Nothing,
        }
    }

    /// The model with the name that a body has.
    pub(super) fn named(&self, name: Option<&[u8]>, place: Place) -> Option<usize> {
        let oip = matches!(place, Place::Message(_, true));
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        name.and_then(|name| self.claimed(name, oip)).or(self.rest)
    }

    fn by_path(&self, path: &str) -> Option<usize> {
        let claims = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.paths
            .iter()
            .find(|(prefix, _)| claims(prefix))
            .map(|&(_, at)| at)
    }

    fn by_host(&self, host: &str) -> Option<usize> {
        if self.hosts.is_empty() {
            return None;
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        self.hosts.get(&name.to_ascii_lowercase()).copied()
    }

    fn by_name(&self, head: &impl Head) -> Option<usize> {
        if self.names.is_empty() {
            return None;
        }
        let named = named::in_head(head)?;
        self.claimed(&named.name, named.oip)
    }

    fn claimed(&self, name: &str, oip: bool) -> Option<usize> {
        let claim = self.names.get(name)?;
        (oip || !claim.oip_only).then_some(claim.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(models: &[(&str, &str)]) -> Index {
        let models: Vec<_> = models
            .iter()
            .map(|(name, text)| (*name, text.parse::<Matcher>().unwrap()))
            .collect();
        Index::new(models.iter().map(|(name, matcher)| (*name, matcher)))
    }

    fn head(method: &str, host: &str, path: &str) -> http::request::Parts {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("host", host).body(());
        request.unwrap().into_parts().0
    }

    fn post(index: &Index, path: &str) -> Option<usize> {
        found(index, "POST", "x", path)
    }

    fn found(index: &Index, method: &str, host: &str, path: &str) -> Option<usize> {
        match index.find(&head(method, host, path)) {
            Found::Model(at) => Some(at),
            Found::InBody(_) => panic!("{path} needs a body"),
            Found::Nothing => None,
        }
    }

    #[test]
    fn the_only_model_has_everything_unless_it_says_otherwise() {
        let only = index(&[("m", "default")]);
        assert_eq!(post(&only, "/x"), Some(0));
        assert_eq!(post(&only, "/v1/chat/completions"), Some(0));
        assert!(!only.looks_into_bodies());
        assert_eq!(post(&index(&[("m", "any")]), "/v2/models/n/infer"), Some(0));
        let strict = index(&[("m", "oip")]);
        assert_eq!(post(&strict, "/v2/models/m/infer"), Some(0));
        assert_eq!(post(&strict, "/v2/models/n/infer"), None);
        assert_eq!(post(&strict, "/v1/models/m:predict"), None);
        assert_eq!(post(&strict, "/invocations"), None);
    }

    #[test]
    fn several_models_are_told_apart() {
        let index = index(&[
            ("a", "default"),
            ("b", "path:/b"),
            ("c", "path:/b/c"),
            ("d", "host:d.local"),
            ("e", "any"),
        ]);
        assert_eq!(post(&index, "/v2/models/a/versions/3/infer"), Some(0));
        assert_eq!(post(&index, "/v1/models/a/versions/3:predict"), Some(0));
        assert_eq!(post(&index, "/b"), Some(1));
        assert_eq!(post(&index, "/b/c/predict"), Some(2));
        assert_eq!(post(&index, "/bc"), Some(4));
        assert_eq!(
            found(&index, "POST", "D.local:80", "/v2/models/a/infer"),
            Some(3)
        );
        assert_eq!(post(&index, "/"), Some(4));
    }

    #[test]
    fn names_in_bodies_are_asked_for_where_nothing_else_decides() {
        let two = index(&[("a", "default"), ("b", "oip"), ("c", "path:/c")]);
        assert!(two.looks_into_bodies());
        let chat = head("POST", "x", "/v1/chat/completions");
        assert_eq!(two.find(&chat), Found::InBody(Place::Json));
        assert_eq!(post(&two, "/c/v1/chat/completions"), Some(2));
        assert_eq!(post(&two, "/deployments/a/chat/completions"), Some(0));
        assert_eq!(two.named(Some(b"a"), Place::Json), Some(0));
        assert_eq!(two.named(Some(b"b"), Place::Json), None);
        let infer = Place::Message(&[1], true);
        assert_eq!(two.named(Some(b"b"), infer), Some(1));
        assert_eq!(two.named(Some(b"\xff"), infer), None);
        assert_eq!(two.named(None, infer), None);
        let rest = index(&[("a", "default"), ("e", "any")]);
        assert_eq!(rest.named(Some(b"z"), Place::Json), Some(1));
        assert_eq!(rest.named(None, Place::Json), Some(1));
    }

    #[test]
    fn questions_without_a_name_go_to_the_first_model() {
        let two = index(&[("p", "path:/p"), ("a", "default"), ("b", "default")]);
        for path in ["/v2/health/ready", "/v1/models", "/ping"] {
            assert_eq!(found(&two, "GET", "x", path), Some(1), "{path}");
        }
        assert_eq!(found(&two, "GET", "x", "/v2/models/b/ready"), Some(2));
        assert_eq!(post(&two, "/v2/repository/index"), Some(1));
        assert_eq!(post(&two, "/v2/repository/models/b/load"), Some(2));
        assert_eq!(post(&two, "/invocations"), None);
    }
}
