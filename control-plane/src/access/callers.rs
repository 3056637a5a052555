//! The file that says who may call: one line per caller, `NAME ROLE PROOF [models=...] [sidecars=...]`. The proof is a
//! hash of a token, `sha256:HASH`, or the SPIFFE ID of a certificate; no secret is in it.

use super::names::Names;
use super::role::Role;
use crate::listen::spiffe_fault;
use clap::ValueEnum;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How a caller of the file shows that it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// By a token with this SHA-256.
    Token([u8; 32]),
    /// By a certificate with this SPIFFE ID; `beginning*` for all that begin so.
    Spiffe(Names),
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Kept as the actor in every event that it causes.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Models that a sidecar may speak for.
    pub models: Names,
    /// Names that a sidecar may have. Absent: any with a token, the last part of the SPIFFE ID with a certificate.
    pub sidecars: Option<Names>,
    proof: Proof,
}

/// The callers of a file.
#[derive(Clone, Debug, Default)]
pub struct Callers(Vec<Entry>);

/// Why a file of callers is not one.
#[derive(Debug, Error)]
pub enum CallersError {
    /// It cannot be read.
    #[error("read token file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error(
        "token file {path}, line {line}: {problem}; a line is `NAME ROLE sha256:HASH`, as `serinus-control-plane token \
         NAME ROLE` prints it, or `NAME ROLE spiffe://DOMAIN/PATH`, and for sidecars `models=A,B` and `sidecars=A,B`"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody could ever call.
    #[error(
        "token file {path} has no line; `serinus-control-plane token NAME operator` prints one for it"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The name cannot be written into a line.
    #[error(
        "\"{0}\" is no name for a token: use letters, digits, '.', '_', '-' and '@', at most 63 characters"
    )]
    Name(String),
    /// What a sidecar is bound to cannot be written into a line.
    #[error("{0}")]
    Bound(String),
}

impl Callers {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`CallersError`].
    pub fn read(path: &Path) -> Result<Self, CallersError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| CallersError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, CallersError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let problem = |problem| CallersError::Line {
                path: path.to_owned(),
                line: index + 1,
                problem,
            };
            let entry = Entry::parse(line).map_err(problem)?;
            if entries.iter().any(|other| other.name == entry.name) {
                return Err(problem(format!(
                    "the name {} is taken by a line above",
                    entry.name
                )));
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(CallersError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self(entries))
    }

    /// Whose token this is.
    #[must_use]
    pub fn with_token(&self, secret: &str) -> Option<&Entry> {
        let shown = Proof::Token(hash(secret));
        self.0.iter().find(|entry| entry.proof == shown)
    }

    /// Whose certificate has this SPIFFE ID; a line that names it whole goes before one that names its beginning.
    #[must_use]
    pub fn with_spiffe(&self, id: &str) -> Option<&Entry> {
        let whole = Proof::Spiffe(Names::one(id));
        let matches =
            |entry: &&Entry| matches!(&entry.proof, Proof::Spiffe(ids) if ids.contain(id));
        let by_name = self.0.iter().find(|entry| entry.proof == whole);
        by_name.or_else(|| self.0.iter().find(matches))
    }

    /// Sidecars that may speak for every model.
    pub fn unbound(&self) -> impl Iterator<Item = &str> {
        let unbound = |entry: &&Entry| entry.role == Role::Sidecar && entry.models.are_all();
        let unbound = self.0.iter().filter(unbound);
        unbound.map(|entry| entry.name.as_str())
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, role, proof, rest @ ..] = &fields[..] else {
            return Err(format!("{} fields instead of 3", fields.len()));
        };
        check_name(name).map_err(|error| error.to_string())?;
        let role = Role::from_str(role, false).map_err(|_| {
            "the role is none of viewer, operator, approver, admin and sidecar".to_owned()
        })?;
        let proof = Proof::parse(proof)?;
        let (mut models, mut sidecars) = (None, None);
        for field in rest {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let into = match key {
                "models" => &mut models,
                "sidecars" => &mut sidecars,
                _ => return Err(format!("\"{field}\" is neither models= nor sidecars=")),
            };
            if into.replace(Names::parse(value)?).is_some() {
                return Err(format!("{key}= is there twice"));
            }
        }
        if role != Role::Sidecar && !rest.is_empty() {
            return Err(format!(
                "only sidecars are bound to models, {name} is {role}"
            ));
        }
        let by_certificate = matches!(proof, Proof::Spiffe(_));
        if role == Role::Sidecar && by_certificate && models.is_none() {
            return Err(
                "a sidecar with a certificate needs models=A,B, or models=* for all".into(),
            );
        }
        Ok(Self {
            name: (*name).to_owned(),
            role,
            models: models.unwrap_or_default(),
            sidecars,
            proof,
        })
    }
}

impl Proof {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(hash) = text.strip_prefix("sha256:") {
            let hash = from_hex(hash);
            let hash = hash.ok_or("the hash is not sha256: and 64 hexadecimal digits")?;
            return Ok(Self::Token(hash));
        }
        if !text.starts_with("spiffe://") {
            return Err("the hash is not sha256: and 64 hexadecimal digits, nor is it an ID that begins with spiffe://".into());
        }
        // As if the wildcard were the name of a part, or its end.
        let whole = match text.strip_suffix('*') {
            Some(beginning) => format!("{beginning}x"),
            None => text.to_owned(),
        };
        spiffe_fault(&whole).map_or(Ok(()), |why| Err(format!("the SPIFFE ID {why}")))?;
        Names::parse(text).map(Self::Spiffe)
    }
}

/// A new token: the secret for its bearer, and the line for the file. `bound` is what a sidecar is bound to, models and
/// names.
///
/// # Errors
/// If the name is not one, or what it is bound to is not.
pub fn make(
    name: &str,
    role: Role,
    bound: (Option<&str>, Option<&str>),
) -> Result<(String, String), CallersError> {
    check_name(name)?;
    let secret = format!("serinus_{}", to_hex(&rand::rng().random::<[u8; 32]>()));
    let mut line = format!("{name} {role} sha256:{}", to_hex(&hash(&secret)));
    for (key, names) in [("models", bound.0), ("sidecars", bound.1)] {
        if let Some(names) = names {
            line += &format!(" {key}={names}");
        }
    }
    Entry::parse(&line).map_err(CallersError::Bound)?;
    Ok((secret, line))
}

fn check_name(name: &str) -> Result<(), CallersError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if (1..=63).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(CallersError::Name(name.to_owned()))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYTHING: (Option<&str>, Option<&str>) = (None, None);

    fn parse(text: &str) -> Result<Callers, CallersError> {
        Callers::parse(Path::new("tokens"), text)
    }

    #[test]
    fn a_made_token_is_found_by_its_secret_alone() {
        let (secret, line) = make("ana@example", Role::Operator, ANYTHING).unwrap();
        let bound = (Some("digits"), Some("host-*"));
        let (other, other_line) = make("host-a", Role::Sidecar, bound).unwrap();
        let callers = parse(&format!("# people\n\n{line}\n  {other_line}\n")).unwrap();
        let found = callers.with_token(&secret).unwrap();
        assert_eq!(
            (found.name.as_str(), found.role),
            ("ana@example", Role::Operator)
        );
        let sidecar = callers.with_token(&other).unwrap();
        assert!(sidecar.models.contain("digits") && !sidecar.models.contain("cats"));
        assert!(sidecar.sidecars.as_ref().unwrap().contain("host-7"));
        assert!(callers.with_token("").is_none() && callers.with_token(&line).is_none());
        assert!(!line.contains(&secret));
        assert_eq!(callers.unbound().count(), 0);
    }

    #[test]
    fn certificates_are_found_by_their_id() {
        let callers = parse(
            "ana admin spiffe://td/people/ana\nfleet sidecar spiffe://td/sidecar/* models=*\n\
             one sidecar spiffe://td/sidecar/a models=digits\n",
        )
        .unwrap();
        let name = |id| callers.with_spiffe(id).map(|entry| entry.name.as_str());
        assert_eq!(name("spiffe://td/people/ana"), Some("ana"));
        assert_eq!(name("spiffe://td/people/anabel"), None);
        assert_eq!(name("spiffe://td/sidecar/b"), Some("fleet"));
        assert_eq!(name("spiffe://td/sidecar/a"), Some("one"));
        assert_eq!(name("spiffe://other/people/ana"), None);
        assert_eq!(callers.unbound().collect::<Vec<_>>(), ["fleet"]);
        assert!(callers.with_token("spiffe://td/people/ana").is_none());
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(to_hex(&hash("abc")), expected);
    }

    #[test]
    fn wrong_lines_are_named() {
        let (_, line) = make("a", Role::Sidecar, ANYTHING).unwrap();
        let cases = [
            ("a sidecar".to_owned(), "line 1: 2 fields"),
            (format!("{line}\n{line}"), "line 2: the name a is taken"),
            (line.replace("sidecar", "root"), "the role is none of"),
            (line.replace("sha256:", "md5:"), "the hash is not"),
            (line[..line.len() - 1].to_owned(), "the hash is not"),
            (line.replace("a ", "a/b "), "no name for a token"),
            (format!("{line} model=a"), "neither models= nor sidecars="),
            (format!("{line} models=a models=b"), "there twice"),
            (format!("{line} models="), "no name"),
            (
                line.replace("sidecar", "admin") + " models=a",
                "only sidecars are bound",
            ),
            ("a sidecar spiffe://td/a".to_owned(), "needs models="),
            ("a admin spiffe://td".to_owned(), "has no path"),
            ("a admin spiffe://*".to_owned(), "the SPIFFE ID"),
        ];
        for (text, problem) in cases {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(matches!(
            parse("# nobody\n"),
            Err(CallersError::Empty { .. })
        ));
        assert!(make("a b", Role::Operator, ANYTHING).is_err());
        assert!(make("a", Role::Viewer, (Some("digits"), None)).is_err());
    }
}
