//! Who a certificate says its bearer is: exactly one URI among its names, and that one a SPIFFE ID.

use super::Certificate;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Longest ID that is taken, bytes; what the SPIFFE standard demands of everybody.
const LONGEST: usize = 2048;

/// Reads the first certificate of a chain that was verified already.
pub(super) fn read(chain: Option<&[CertificateDer<'_>]>) -> Certificate {
    let Some(own) = chain.and_then(<[_]>::first) else {
        return Certificate::None;
    };
    let parsed = match EndEntityCert::try_from(own) {
        Ok(parsed) => parsed,
        Err(error) => return Certificate::Unclear(format!("it cannot be read: {error}")),
    };
    let uris: Vec<&str> = parsed.valid_uri_names().collect();
    match uris[..] {
        [id] => match check(id) {
            Ok(()) => Certificate::Spiffe(id.to_owned()),
            Err(why) => Certificate::Unclear(format!("its URI {id:?} {why}")),
        },
        _ => Certificate::Unclear(format!(
            "it has {} URIs among its names, not one",
            uris.len()
        )),
    }
}

/// Whether a text is a SPIFFE ID with a path (SPIFFE-ID, section 2).
pub(crate) fn check(id: &str) -> Result<(), &'static str> {
    let rest = id
        .strip_prefix("spiffe://")
        .ok_or("does not begin with spiffe://")?;
    let (domain, path) = rest.split_once('/').ok_or("has no path")?;
    let in_domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let in_path = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.len() > LONGEST {
        return Err("is longer than 2048 bytes");
    }
    if domain.is_empty() || !domain.chars().all(in_domain) {
        return Err("has no good trust domain: lower-case letters, digits and ._-");
    }
    let good =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(in_path);
    match path.split('/').all(good) {
        true => Ok(()),
        false => Err("has no good path: parts of letters, digits and ._- between slashes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_standard_says() {
        check("spiffe://example.org/ns/prod/sa/recommender").unwrap();
        for bad in [
            "https://example.org/a",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://Example.org/a",
            "spiffe:///a",
            "spiffe://example.org/a//b",
            "spiffe://example.org/a/../b",
            "spiffe://example.org/a b",
            "spiffe://example.org/%41",
            "spiffe://user@example.org/a",
            "spiffe://example.org:80/a",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let long = format!("spiffe://example.org/{}", "a".repeat(2048));
        assert!(check(&long).is_err());
    }
}
