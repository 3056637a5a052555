//! Tokens: who may call. The file has one line per token, `NAME ROLE sha256:HASH`; the secret itself is nowhere.

use clap::ValueEnum;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything but being a sidecar.
    Operator,
    /// Take assignments, send reports and outcomes.
    Sidecar,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Sidecar => "sidecar",
        })
    }
}

/// A token as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Kept as the actor in every event that it causes.
    pub name: String,
    /// What it may do.
    pub role: Role,
    hash: [u8; 32],
}

/// The tokens of a file.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Token>);

/// Why a token file is not one.
#[derive(Debug, Error)]
pub enum TokenError {
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
        "token file {path}, line {line}: {problem}; a line is `NAME ROLE sha256:HASH`, as \
         `serinus-control-plane token NAME ROLE` prints it"
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
        "token file {path} has no token; `serinus-control-plane token NAME operator` prints a line for it"
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
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| TokenError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, TokenError> {
        let mut tokens: Vec<Token> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let problem = |problem| TokenError::Line {
                path: path.to_owned(),
                line: index + 1,
                problem,
            };
            let token = Token::parse(line).map_err(problem)?;
            if tokens.iter().any(|other| other.name == token.name) {
                return Err(problem(format!(
                    "the name {} is taken by a line above",
                    token.name
                )));
            }
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Err(TokenError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self(tokens))
    }

    /// The token with this secret.
    #[must_use]
    pub fn find(&self, secret: &str) -> Option<&Token> {
        let hash = hash(secret);
        self.0.iter().find(|token| token.hash == hash)
    }
}

impl Token {
    fn parse(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, role, hash] = fields[..] else {
            return Err(format!("{} fields instead of 3", fields.len()));
        };
        check_name(name).map_err(|error| error.to_string())?;
        let role = Role::from_str(role, false);
        let role = role.map_err(|_| "the role is neither operator nor sidecar".to_owned())?;
        let hash = hash.strip_prefix("sha256:").and_then(from_hex);
        let hash = hash.ok_or("the hash is not sha256: and 64 hexadecimal digits")?;
        Ok(Self {
            name: name.to_owned(),
            role,
            hash,
        })
    }
}

/// A new token: the secret for its bearer, and the line for the file.
///
/// # Errors
/// If the name is not one.
pub fn make(name: &str, role: Role) -> Result<(String, String), TokenError> {
    check_name(name)?;
    let secret = format!("serinus_{}", to_hex(&rand::rng().random::<[u8; 32]>()));
    let line = format!("{name} {role} sha256:{}", to_hex(&hash(&secret)));
    Ok((secret, line))
}

fn check_name(name: &str) -> Result<(), TokenError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if (1..=63).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(TokenError::Name(name.to_owned()))
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

    fn parse(text: &str) -> Result<Tokens, TokenError> {
        Tokens::parse(Path::new("tokens"), text)
    }

    #[test]
    fn a_made_token_is_found_by_its_secret_alone() {
        let (secret, line) = make("ana@example", Role::Operator).unwrap();
        let (other, other_line) = make("host-a", Role::Sidecar).unwrap();
        let tokens = parse(&format!("# people\n\n{line}\n  {other_line}\n")).unwrap();
        let found = tokens.find(&secret).unwrap();
        assert_eq!(
            (found.name.as_str(), found.role),
            ("ana@example", Role::Operator)
        );
        assert_eq!(tokens.find(&other).unwrap().role, Role::Sidecar);
        assert!(tokens.find("").is_none() && tokens.find(&line).is_none());
        assert!(!line.contains(&secret));
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(to_hex(&hash("abc")), expected);
    }

    #[test]
    fn wrong_lines_are_named() {
        let (_, line) = make("a", Role::Sidecar).unwrap();
        let cases = [
            ("a sidecar".to_owned(), "line 1: 2 fields"),
            (format!("{line}\n{line}"), "line 2: the name a is taken"),
            (
                line.replace("sidecar", "admin"),
                "neither operator nor sidecar",
            ),
            (line.replace("sha256:", "md5:"), "the hash is not"),
            (line[..line.len() - 1].to_owned(), "the hash is not"),
            (line.replace("a ", "a/b "), "no name for a token"),
        ];
        for (text, problem) in cases {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(matches!(parse("# nobody\n"), Err(TokenError::Empty { .. })));
        assert!(make("a b", Role::Operator).is_err());
    }
}
