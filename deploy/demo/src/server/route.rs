//! Which call of the protocol a path is.

use std::borrow::Cow;

/// A call, before it is known whether the model exists.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    ServerMetadata,
    Live,
    Ready,
    Fault,
    Model {
        model: ModelPath<'a>,
        call: ModelCall,
    },
    Unknown,
}

/// Which model a call is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ModelPath<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: Option<Cow<'a, str>>,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelCall {
    Metadata,
    Ready,
    Infer,
}

impl<'a> Route<'a> {
    /// Reads a path without its query; names and versions may be percent-encoded.
    pub(super) fn of(path: &'a str) -> Self {
        match path {
            "/v2" | "/v2/" => return Self::ServerMetadata,
            "/v2/health/live" => return Self::Live,
            "/v2/health/ready" => return Self::Ready,
            "/fault" => return Self::Fault,
            _ => {}
        }
        let Some(rest) = path.strip_prefix("/v2/models/") else {
            return Self::Unknown;
        };
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (version, call) = match rest.strip_prefix("versions/") {
            Some(rest) => {
                let (version, call) = rest.split_once('/').unwrap_or((rest, ""));
                (Some(version), call)
            }
            None => (None, rest),
        };
        let call = match call {
            "" => ModelCall::Metadata,
            "ready" => ModelCall::Ready,
            "infer" => ModelCall::Infer,
            _ => return Self::Unknown,
        };
        if name.is_empty() || version == Some("") {
            return Self::Unknown;
        }
        Self::Model {
            model: ModelPath {
                name: decode(name),
                version: version.map(decode),
            },
            call,
        }
    }
}

/// Undoes percent-encoding; what is not valid encoding, or not UTF-8 afterwards, stays as it is.
fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let encoded = (first == b'%').then(|| tail.split_at_checked(2)).flatten();
        let decoded = encoded.and_then(|(digits, after)| Some((hex(digits)?, after)));
        let (byte, after) = decoded.unwrap_or((first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    digits
        .iter()
        .try_fold(0, |sum, digit| Some(sum * 16 + value(*digit)?))
        .map(|byte| byte as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model<'a>(name: &'a str, version: Option<&'a str>, call: ModelCall) -> Route<'a> {
        let version = version.map(Cow::Borrowed);
        Route::Model {
            model: ModelPath {
                name: Cow::Borrowed(name),
                version,
            },
            call,
        }
    }

    #[test]
    fn the_calls_of_the_protocol_are_known() {
        assert_eq!(Route::of("/v2"), Route::ServerMetadata);
        assert_eq!(Route::of("/v2/health/live"), Route::Live);
        assert_eq!(Route::of("/v2/health/ready"), Route::Ready);
        assert_eq!(
            Route::of("/v2/models/m"),
            model("m", None, ModelCall::Metadata)
        );
        assert_eq!(
            Route::of("/v2/models/m/ready"),
            model("m", None, ModelCall::Ready)
        );
        assert_eq!(
            Route::of("/v2/models/m/infer"),
            model("m", None, ModelCall::Infer)
        );
        let versioned = Route::of("/v2/models/m/versions/2/infer");
        assert_eq!(versioned, model("m", Some("2"), ModelCall::Infer));
        let metadata = Route::of("/v2/models/m/versions/2");
        assert_eq!(metadata, model("m", Some("2"), ModelCall::Metadata));
    }

    #[test]
    fn names_may_hold_any_character() {
        let name = |path| match Route::of(path) {
            Route::Model { model, .. } => model.name.into_owned(),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(name("/v2/models/llama-3.1:8b@x/infer"), "llama-3.1:8b@x");
        assert_eq!(name("/v2/models/a%2Fb%20c/infer"), "a/b c");
        assert_eq!(name("/v2/models/50%/infer"), "50%");
        assert_eq!(name("/v2/models/%ff%zz/infer"), "%ff%zz");
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in [
            "/",
            "",
            "/v1/models/m",
            "/v2/models/",
            "/v2/models//infer",
            "/v2/models/m/predict",
            "/v2/models/m/versions//infer",
            "/v2/models/m/infer/x",
            "/fault/x",
        ] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }
}
