//! A request's head, kept so that it can be sent again.
//!
//! It is a copy of the text: a few hundred bytes cost less than a reference count per name and value, and references
//! would hold on to the connection's read buffer, which then could not be used again.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// The copy.
#[derive(Debug)]
pub(super) struct Saved {
    method: Method,
    /// Where there is more to it than a path.
    uri: Option<Uri>,
    text: Vec<u8>,
}

/// Long enough for most heads.
const CAPACITY: usize = 512;

impl Saved {
    pub(super) fn new(head: &Parts) -> Self {
        let mut text = Vec::with_capacity(CAPACITY);
        let whole = head.uri.authority().is_some();
        if !whole {
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            text.extend_from_slice(path.as_bytes());
        }
        // No line end is ever part of a path, a name or a value.
        text.push(b'\n');
        for (name, value) in &head.headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        Self {
            method: head.method.clone(),
            uri: whole.then(|| head.uri.clone()),
            text,
        }
    }

    /// The head again; `None` cannot happen to the copy of a head that was parsed.
    pub(super) fn restore(&self) -> Option<Parts> {
        let mut lines = self.text.split(|&byte| byte == b'\n');
        let path = lines.next()?;
        let mut head = Request::new(()).into_parts().0;
        head.method = self.method.clone();
        head.uri = match &self.uri {
            Some(uri) => uri.clone(),
            None => Uri::try_from(path).ok()?,
        };
        let mut headers = HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            headers.append(name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?);
        }
        head.headers = headers;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_copy_is_the_same(
            path in "/[a-z/%0-9]{0,20}(\\?[a-z=&]{0,9})?",
            headers in prop::collection::vec(("[a-z-]{1,9}", "[ -~\u{e9}]{0,20}"), 0..9),
        ) {
            for uri in [path.clone(), format!("http://h:1{path}")] {
                let mut head = Request::post(&uri).body(()).unwrap().into_parts().0;
                for (name, value) in &headers {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    head.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
                }
                let back = Saved::new(&head).restore().unwrap();
                prop_assert_eq!((&back.method, &back.uri), (&head.method, &head.uri));
                prop_assert_eq!(back.headers, head.headers);
            }
        }
    }
}
