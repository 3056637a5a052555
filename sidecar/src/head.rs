//! A request's head as choosing sees it, whichever parser has read it.

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

/// A request's head. Names of headers are asked for in lower case.
pub(crate) trait Head {
    /// The method, in upper case as it came.
    fn method(&self) -> &str;

    /// The path, without the query, as it came: still percent-encoded.
    fn path(&self) -> &str;

    /// What follows the `?`, as it came.
    fn query(&self) -> Option<&str>;

    /// Host and port that the caller named: the request target's authority, else the `Host` header.
    fn host(&self) -> Option<&str>;

    /// Every value of a header, in order.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The first value of a header.
    fn value<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

/// Letters, digits and the marks of a host and a port; nothing that could end it or begin another.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=:[]%".contains(byte);
    value.iter().all(allowed)
}

impl Head for Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    fn host(&self) -> Option<&str> {
        let named = self.uri.authority().map(http::uri::Authority::as_str);
        let in_header = || self.headers.get(HOST).and_then(|host| host.to_str().ok());
        named.or_else(in_header)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.headers, name)
    }

    fn value<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.headers.get(name).map(|value| value.as_bytes())
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .map(|value| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_parsed_head_is_read() {
        let request = Request::post("http://ml.local:80/a%20b?c=d")
            .header("cookie", "a=1")
            .header("Cookie", "b=2")
            .body(());
        let head = request.unwrap().into_parts().0;
        assert_eq!((head.method(), head.path()), ("POST", "/a%20b"));
        assert_eq!(
            (head.query(), head.host()),
            (Some("c=d"), Some("ml.local:80"))
        );
        let cookies: Vec<_> = head.values("cookie").collect();
        assert_eq!(cookies, [b"a=1", b"b=2"]);
        assert_eq!(head.value("cookie"), Some(&b"a=1"[..]));
        assert_eq!(head.value("none"), None);
    }

    #[test]
    fn the_target_names_the_host_first() {
        let request = Request::get("http://other/")
            .header("host", "ml.local")
            .body(());
        let head = request.unwrap().into_parts().0;
        // RFC 9112, section 3.2.2.
        assert_eq!(head.host(), Some("other"));
    }
}
