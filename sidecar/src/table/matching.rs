//! From host and path to a model.

use super::Matcher;
use crate::route::path::model_name;
use std::collections::HashMap;

/// Finds the model of a request.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Everything goes here, whatever the path says.
    everything: Option<usize>,
    /// Longest prefix first.
    paths: Vec<(String, usize)>,
    hosts: HashMap<String, usize>,
    names: HashMap<String, usize>,
    rest: Option<usize>,
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
                    index.names.entry((*name).to_owned()).or_insert(at);
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

    pub(super) fn find<'a>(
        &self,
        host: impl FnOnce() -> Option<&'a str>,
        path: &str,
    ) -> Option<usize> {
        self.everything
            .or_else(|| self.by_path(path))
            .or_else(|| self.by_host(host()?))
            .or_else(|| self.by_name(path))
            .or(self.rest)
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

    fn by_name(&self, path: &str) -> Option<usize> {
        self.names.get(&*model_name(path)?).copied()
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

    #[test]
    fn the_only_model_has_everything_unless_it_says_otherwise() {
        assert_eq!(index(&[("m", "default")]).find(|| None, "/x"), Some(0));
        assert_eq!(
            index(&[("m", "any")]).find(|| None, "/v2/models/n/infer"),
            Some(0)
        );
        let strict = index(&[("m", "oip")]);
        assert_eq!(strict.find(|| None, "/v2/models/m/infer"), Some(0));
        assert_eq!(strict.find(|| None, "/v2/models/n/infer"), None);
        assert_eq!(strict.find(|| None, "/invocations"), None);
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
        assert_eq!(
            index.find(|| None, "/v2/models/a/versions/3/infer"),
            Some(0)
        );
        assert_eq!(index.find(|| None, "/b"), Some(1));
        assert_eq!(index.find(|| None, "/b/c/predict"), Some(2));
        assert_eq!(index.find(|| None, "/bc"), Some(4));
        assert_eq!(
            index.find(|| Some("D.local:80"), "/v2/models/a/infer"),
            Some(3)
        );
        assert_eq!(index.find(|| Some("x"), "/"), Some(4));
    }
}
