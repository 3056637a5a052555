//! Where the key of a request is.

use super::path::{percent_decoded, segments};
use super::pointer::{Pointer, PointerError};
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
    /// In the JSON document that the body is.
    Json(Pointer),
    /// The segment of the path at this position; the first one is 0.
    Path(usize),
    /// Nowhere: every request is drawn at random.
    None,
}

/// The text names no place for a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum KeyError {
    #[error(
        "{0:?} names no place for a key; write \"header:x-user-id\", \"cookie:NAME\", \"query:NAME\", \"metadata:NAME\", \"json:/POINTER\", \"path:N\" or \"none\""
    )]
    Place(String),
    #[error(transparent)]
    Pointer(#[from] PointerError),
    #[error(
        "\"path:{0}\" is no segment of a path; the first one is \"path:1\", the last one \"path:99\""
    )]
    Segment(String),
}

impl FromStr for KeySource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError::Place(text.to_owned());
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
            "json" => Ok(Self::Json(name.parse()?)),
            "path" => match name.parse::<usize>() {
                Ok(at @ 1..=99) => Ok(Self::Path(at - 1)),
                _ => Err(KeyError::Segment(name.to_owned())),
            },
            _ => Err(bad()),
        }
    }
}

impl KeySource {
    /// The key of a request whose head is known; `None` where it is missing or empty.
    pub(crate) fn of<'a>(&'a self, head: &'a impl Head) -> Option<Cow<'a, [u8]>> {
        let key = match self {
            Self::Header(name) => Cow::Borrowed(head.value(name.as_str())?),
            Self::Cookie(name) => Cow::Borrowed(cookie(head, name)?),
            Self::Query(name) => in_query(head.query()?, name)?,
            Self::Path(at) => bytes(percent_decoded(segments(head.path()).nth(*at)?)?),
            // The body is not known here.
            Self::Json(_) | Self::None => return None,
        };
        (!key.is_empty()).then_some(key)
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(head: &'a impl Head, name: &str) -> Option<&'a [u8]> {
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
    fn a_segment_of_the_path_is_decoded() {
        let head = http::Request::get("/t/ana%2F1/x?y=/z").body(()).unwrap();
        let head = head.into_parts().0;
        let key = |text: &str| {
            let source: KeySource = text.parse().unwrap();
            source.of(&head).map(|key| key.into_owned())
        };
        assert_eq!(key("path:1").as_deref(), Some(&b"t"[..]));
        assert_eq!(key("path:2").as_deref(), Some(&b"ana/1"[..]));
        assert_eq!(key("path:3").as_deref(), Some(&b"x"[..]));
        assert_eq!(key("path:4"), None);
    }

    #[test]
    fn other_places_are_refused() {
        for bad in [
            "x-user-id",
            "header:",
            "body:/a",
            "header:a b",
            "json:user",
            "json:",
            "path:0",
            "path:x",
            "path:100",
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
