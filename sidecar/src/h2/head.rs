//! What a request's and an answer's head have to be, and how they are passed on.

use super::block::{Block, Entry};
use super::hpack::Encoder;
use super::hpack::fixed::{AUTHORITY, CONTENT_TYPE, HOST, METHOD, PATH, SCHEME, STATUS};
use super::link::own;
use crate::classify;
use crate::head::{Head, is_host};
use crate::table::{self, Address};

const VARIANT: &str = "x-serinus-variant";
const PREDICTION_ID: &str = "x-serinus-prediction-id";
const OURS: &[u8] = b"x-serinus-";

/// A request's head, found to be one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestHead<'a> {
    block: &'a Block,
    method: &'a str,
    target: &'a str,
    authority: Option<&'a str>,
    /// Some header is named like ours.
    pub(super) ours: bool,
    pub(super) is_grpc: bool,
}

impl<'a> RequestHead<'a> {
    /// Reads a head; `None` if it is malformed (RFC 9113, section 8.3.1).
    pub(super) fn read(block: &'a Block) -> Option<Self> {
        let mut pseudo = [None; 7];
        let (mut ours, mut regular) = (false, false);
        for entry in block.iter() {
            if entry.name.starts_with(b":") {
                let slot = pseudo.get_mut(usize::from(entry.mark.known))?;
                let is_one = matches!(entry.mark.known, AUTHORITY | METHOD | PATH | SCHEME);
                if regular || !is_one || slot.replace(entry.value).is_some() {
                    return None;
                }
                continue;
            }
            regular = true;
            if entry.mark.known == HOST && !is_host(entry.value) {
                return None;
            }
            if is_of_connection(entry.name) || (entry.name == b"te" && entry.value != b"trailers") {
                return None;
            }
            ours |= entry.name.starts_with(OURS);
        }
        let text = |known: u8| pseudo[usize::from(known)].map(std::str::from_utf8);
        let head = Self {
            block,
            method: text(METHOD)?.ok()?,
            target: text(PATH)?.ok().filter(|path| is_target(path))?,
            authority: text(AUTHORITY).transpose().ok()?,
            ours,
            is_grpc: block.known(CONTENT_TYPE).is_some_and(classify::is_grpc),
        };
        pseudo[usize::from(SCHEME)]?;
        // Endpoints end what names no host, and the model would be blamed for it.
        let hosted = head.authority.is_none_or(|host| is_host(host.as_bytes()));
        (hosted && !block.is_malformed()).then_some(head)
    }

    /// Whether it is a gRPC call, which is a `POST`.
    pub(super) fn is_call(&self) -> bool {
        self.is_grpc && self.method == "POST"
    }
}

fn is_target(path: &str) -> bool {
    path.starts_with('/')
        && path
            .bytes()
            .all(|byte| (b'!'..0x7f).contains(&byte) && byte != b'#')
}

/// HTTP/2 has no headers of a connection (RFC 9113, section 8.2.2).
fn is_of_connection(name: &[u8]) -> bool {
    let names: [&[u8]; 5] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    ];
    names.contains(&name)
}

impl Head for RequestHead<'_> {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target, |(path, _)| path)
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> Option<&str> {
        let host = || {
            self.block
                .known(HOST)
                .and_then(|host| std::str::from_utf8(host).ok())
        };
        self.authority.or_else(host)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let entries = self.block.iter();
        entries
            .filter(move |e| e.name == name.as_bytes())
            .map(|e| e.value)
    }
}

/// Whether trailers are well-formed.
pub(super) fn are_trailers(block: &Block) -> bool {
    !block.is_malformed()
        && block
            .iter()
            .all(|e| !e.name.starts_with(b":") && !is_of_connection(e.name))
}

/// An answer's status; `None` if its head is malformed.
pub(super) fn status(block: &Block) -> Option<u16> {
    let mut entries = block.iter();
    let first = entries.next().filter(|first| first.mark.known == STATUS)?;
    let well = !block.is_malformed() && entries.all(|e| !e.name.starts_with(b":"));
    let [a, b, c] = *first.value else { return None };
    let number = [a, b, c].iter().try_fold(0, |n, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        Some(n * 10 + digit as u16)
    })?;
    (well && (100..600).contains(&number)).then_some(number)
}

/// Passes a call's head on to an endpoint.
pub(super) fn pass_call(block: &Block, to: &Address, encoder: &mut Encoder, out: &mut Vec<u8>) {
    Encoder::fixed(out, 3);
    Encoder::fixed(
        out,
        match to.scheme() {
            table::Scheme::Https => 7,
            _ => 6,
        },
    );
    let mut authority = None;
    for entry in block.iter() {
        match entry.mark.known {
            PATH => pass_path(entry, to, encoder, out),
            AUTHORITY => authority = Some(entry),
            HOST => authority = authority.or(Some(entry)),
            _ => {}
        }
    }
    let mut named = authority.unwrap_or_else(|| own("", to.authority().as_bytes(), true));
    (named.name, named.mark.known) = (b":authority", AUTHORITY);
    encoder.field(out, named);
    for entry in block.iter() {
        let stays = match entry.mark.known {
            // The proxy's own secrets are for the first proxy only.
            AUTHORITY | METHOD | PATH | SCHEME | HOST | 48 | 49 => false,
            _ => !entry.name.starts_with(OURS),
        };
        if stays {
            encoder.field(out, entry);
        }
    }
}

fn pass_path(entry: Entry<'_>, to: &Address, encoder: &mut Encoder, out: &mut Vec<u8>) {
    if to.prefix().is_empty() {
        return encoder.field(out, entry);
    }
    let joined = [to.prefix().as_bytes(), entry.value].concat();
    let value = joined.as_slice();
    encoder.field(out, Entry { value, ..entry });
}

/// Passes an answer's head back, with our labels.
pub(super) fn pass_answer(
    block: &Block,
    variant: &[u8],
    prediction_id: &[u8],
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    for entry in block.iter() {
        match entry.mark.known {
            STATUS if entry.value == b"200" => Encoder::fixed(out, STATUS),
            _ if is_of_connection(entry.name) => {}
            _ if entry.name == VARIANT.as_bytes() || entry.name == PREDICTION_ID.as_bytes() => {}
            _ => encoder.field(out, entry),
        }
    }
    encoder.field(out, own(VARIANT, variant, true));
    encoder.field(out, own(PREDICTION_ID, prediction_id, false));
}

/// Passes a head or trailers on as they are.
pub(super) fn pass_all(block: &Block, encoder: &mut Encoder, out: &mut Vec<u8>) {
    for entry in block.iter() {
        encoder.field(out, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::hpack::Decoder;

    /// Fields as a peer would send them.
    fn block(fields: &[(&str, &str)]) -> Block {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        for (name, value) in fields {
            encoder.field(&mut out, own(name, value.as_bytes(), false));
        }
        Decoder::default().decode(&out, usize::MAX).unwrap()
    }

    const CALL: [(&str, &str); 6] = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/pkg.S/Call?q=1"),
        (":authority", "ml.local"),
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ];

    fn with(more: &[(&'static str, &'static str)]) -> Block {
        block(&[&CALL[..], more].concat())
    }

    #[test]
    fn a_call_is_read() {
        let block = with(&[("x-user-id", "ana"), ("x-serinus-variant", "v2")]);
        let head = RequestHead::read(&block).unwrap();
        assert!(head.is_call() && head.ours);
        assert_eq!((head.path(), head.query()), ("/pkg.S/Call", Some("q=1")));
        assert_eq!(
            (head.host(), head.value("x-user-id")),
            (Some("ml.local"), Some(&b"ana"[..]))
        );
    }

    #[test]
    fn heads_that_are_none_are_refused() {
        for bad in [
            &[("connection", "close")][..],
            &[("te", "gzip")],
            &[(":path", "/twice")],
            &[("transfer-encoding", "chunked")],
            &[(":status", "200")],
            &[(":other", "x")],
            &[("a b", "c")],
            &[("host", "a\u{e4}")],
        ] {
            assert!(RequestHead::read(&with(bad)).is_none(), "{bad:?}");
        }
        for at in 0..3 {
            let mut fields = CALL.to_vec();
            fields.remove(at);
            assert!(RequestHead::read(&block(&fields)).is_none(), "{at}");
        }
        for path in ["", "x", "/a b", "/a#b", "/\u{e4}", "*"] {
            let mut fields = CALL.to_vec();
            fields[2].1 = path;
            assert!(RequestHead::read(&block(&fields)).is_none(), "{path:?}");
        }
        for host in ["a/b", "user@a", "a b", "\u{e4}"] {
            let mut fields = CALL.to_vec();
            fields[3].1 = host;
            assert!(RequestHead::read(&block(&fields)).is_none(), "{host:?}");
        }
    }

    #[test]
    fn statuses_are_read() {
        assert_eq!(status(&block(&[(":status", "503"), ("a", "b")])), Some(503));
        for bad in [
            &[("a", "b")][..],
            &[(":status", "20")],
            &[(":status", "2x0")],
            &[(":status", "2\t0")],
            &[(":status", "200"), (":status", "200")],
        ] {
            assert_eq!(status(&block(bad)), None, "{bad:?}");
        }
    }

    fn read(out: &[u8]) -> Vec<String> {
        let block = Decoder::default().decode(out, usize::MAX).unwrap();
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        block
            .iter()
            .map(|e| format!("{}={}", text(e.name), text(e.value)))
            .collect()
    }

    #[test]
    fn what_is_not_for_the_endpoint_stays_here() {
        let block = with(&[
            ("host", "other"),
            ("x-serinus-variant", "v2"),
            ("proxy-authorization", "s"),
            ("key-bin", "AAE"),
        ]);
        let mut out = Vec::new();
        let to = Address::parse("http://127.0.0.1:1/base").unwrap();
        pass_call(&block, &to, &mut Encoder::default(), &mut out);
        assert_eq!(
            read(&out),
            [
                ":method=POST",
                ":scheme=http",
                ":path=/base/pkg.S/Call?q=1",
                ":authority=ml.local",
                "content-type=application/grpc+proto",
                "te=trailers",
                "key-bin=AAE",
            ]
        );
    }

    #[test]
    fn an_answer_carries_our_labels_once() {
        let block = block(&[
            (":status", "200"),
            ("x-serinus-variant", "forged"),
            ("server", "m"),
        ]);
        let mut out = Vec::new();
        pass_answer(&block, b"v1", b"id", &mut Encoder::default(), &mut out);
        assert_eq!(
            read(&out),
            [
                ":status=200",
                "server=m",
                "x-serinus-variant=v1",
                "x-serinus-prediction-id=id"
            ]
        );
    }
}
