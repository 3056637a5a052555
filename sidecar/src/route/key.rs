//! Where the key of a request is.

use super::path::percent_decoded;
use crate::head::Head;
use http::HeaderName;
use std::borrow::Cow;
use std::str::FromStr;
use thiserror::Error;

/// Where the key of a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In a header; gRPC metadata are headers.
    Header(HeaderName),
    /// In a cookie.
    Cookie(String),
    /// In the query.
    Query(String),
    /// Nowhere: every request is drawn at random.
    None,
}

/// The text names no place for a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} names no place for a key; write \"header:x-user-id\", \"cookie:NAME\", \"query:NAME\", \"metadata:NAME\" or \"none\""
)]
pub(crate) struct KeyError(String);

impl FromStr for KeySource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError(text.to_owned());
        if text == "none" {
            return Ok(Self::None);
        }
        let (place, name) = match text {
            "" => ("header", "x-user-id"),
            text => text.split_once(':').ok_or_else(bad)?,
        };
        if name.is_empty() {
            return Err(bad());
        }
        match place {
            "header" | "metadata" => Ok(Self::Header(name.parse().map_err(|_| bad())?)),
            "cookie" => Ok(Self::Cookie(name.to_owned())),
            "query" => Ok(Self::Query(name.to_owned())),
            _ => Err(bad()),
        }
    }
}

impl KeySource {
    /// The key of a request; `None` where it is missing or empty.
    pub(crate) fn of<'a>(&'a self, head: &'a impl Head) -> Option<Cow<'a, [u8]>> {
        let key = match self {
            Self::Header(name) => Cow::Borrowed(head.value(name.as_str())?),
            Self::Cookie(name) => Cow::Borrowed(cookie(head, name)?),
            Self::Query(name) => in_query(head.query()?, name)?,
            Self::None => return None,
        };
        (!key.is_empty()).then_some(key)
    }
}

fn cookie<'a>(head: &'a impl Head, name: &str) -> Option<&'a [u8]> {
    head.values("cookie")
        .flat_map(|value| value.split(|&byte| byte == b';'))
        .find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            let value = value.strip_prefix(b"=")?;
            let quoted = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""));
            Some(quoted.unwrap_or(value))
        })
}

fn in_query<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(key).as_deref() == Some(name)).then_some(value)
    })?;
    let spaced = match value.contains('+') {
        true => Cow::Owned(value.replace('+', " ")),
        false => Cow::Borrowed(value),
    };
    Some(match spaced {
        Cow::Borrowed(text) => bytes(percent_decoded(text)?),
        Cow::Owned(text) => Cow::Owned(bytes(percent_decoded(&text)?).into_owned()),
    })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(source: &str, headers: &[(&'static str, &str)], query: Option<&str>) -> Option<String> {
        let uri = query.map_or_else(|| "/".to_owned(), |query| format!("/?{query}"));
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let source: KeySource = source.parse().unwrap();
        let key = source.of(&head)?;
        Some(String::from_utf8(key.into_owned()).unwrap())
    }

    #[test]
    fn keys_are_found_where_the_plan_says() {
        let headers = [
            ("x-user-id", "ana"),
            ("cookie", "a=1; sid=\"s 1\""),
            ("cookie", "b=2"),
        ];
        let query = Some("a=b&user=m%C3%BCller+x&user=2");
        assert_eq!(of("", &headers, None).as_deref(), Some("ana"));
        assert_eq!(
            of("metadata:x-user-id", &headers, None).as_deref(),
            Some("ana")
        );
        assert_eq!(of("cookie:sid", &headers, None).as_deref(), Some("s 1"));
        assert_eq!(of("cookie:b", &headers, None).as_deref(), Some("2"));
        assert_eq!(
            of("query:user", &headers, query).as_deref(),
            Some("müller x")
        );
        assert_eq!(of("query:a", &headers, query).as_deref(), Some("b"));
    }

    #[test]
    fn missing_and_empty_keys_are_none() {
        assert_eq!(of("header:x-user-id", &[("x-user-id", "")], None), None);
        assert_eq!(of("header:x-user-id", &[], None), None);
        assert_eq!(of("cookie:si", &[("cookie", "sid=1")], None), None);
        assert_eq!(of("query:u", &[], Some("uu=1&u")), None);
        assert_eq!(of("none", &[("x-user-id", "1")], None), None);
    }

    #[test]
    fn other_places_are_refused() {
        for bad in [
            "x-user-id",
            "header:",
            "body:/a",
            "header:a b",
            "json:/user",
        ] {
            assert!(bad.parse::<KeySource>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_cookie_comes_back_whatever_stands_around_it(before in "[a-z]{1,5}=[a-z0-9]{0,5}", value in "[!#-+.-:<-~]{1,20}") {
            prop_assume!(!before.starts_with("sid="));
            let line = format!("{before}; sid={value};z=1");
            prop_assert_eq!(of("cookie:sid", &[("cookie", &line)], None), Some(value));
        }

        #[test]
        fn any_query_is_read_without_panic(query in "[a-z%=&+0-9]{0,40}") {
            let _ = of("query:a", &[], Some(&query));
        }
    }
}
