//! Why a message is not passed on.

use thiserror::Error;

/// Two readers could take the message for two different ones, or it is no HTTP/1.1 at all.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    #[error("its first line is no line of HTTP/1.1")]
    FirstLine,
    #[error("its target is no path, no http://HOST/PATH and not *")]
    Target,
    #[error("the name of a header has a byte that no name may have, or blanks around it")]
    HeaderName,
    #[error("the value of a header has a byte that no value may have, or goes on in the next line")]
    HeaderValue,
    #[error("a line does not end with CR LF")]
    LineEnd,
    #[error("it has more than 100 headers")]
    TooManyHeaders,
    #[error("content-length is no number, or is there twice")]
    ContentLength,
    #[error("it has both content-length and transfer-encoding")]
    BothLengths,
    #[error("transfer-encoding is not \"chunked\" alone, or not of HTTP/1.1")]
    TransferEncoding,
    #[error("host is missing, is there twice, or is no host")]
    Host,
    #[error("the size of a chunk is no hexadecimal number followed by CR LF")]
    ChunkSize,
    #[error("a chunk is longer or shorter than its size")]
    ChunkEnd,
    #[error("the extensions of chunks are too long, or have a byte that none may have")]
    ChunkExtension,
    #[error("a trailer is no header, is one that may not come late, or is too long")]
    Trailer,
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName => Self::HeaderName,
            httparse::Error::HeaderValue => Self::HeaderValue,
            httparse::Error::NewLine => Self::LineEnd,
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
                Self::FirstLine
            }
        }
    }
}
