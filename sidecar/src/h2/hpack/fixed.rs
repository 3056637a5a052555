//! The static table (RFC 7541, appendix A).

/// Names and values; the first entry has index 1.
pub(super) const FIXED: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

pub(in crate::h2) const AUTHORITY: u8 = 1;
pub(in crate::h2) const METHOD: u8 = 2;
pub(in crate::h2) const PATH: u8 = 4;
pub(in crate::h2) const SCHEME: u8 = 6;
pub(in crate::h2) const STATUS: u8 = 8;
pub(in crate::h2) const CONTENT_TYPE: u8 = 31;
pub(in crate::h2) const HOST: u8 = 38;

/// The first index of each name, as fields remember it: a name has one number only.
pub(super) const fn canonical(index: usize) -> u8 {
    match index {
        2 | 3 => METHOD,
        4 | 5 => PATH,
        6 | 7 => SCHEME,
        8..=14 => STATUS,
        _ => index as u8,
    }
}
