//! What became of a request, and whose fault it was.

/// Class of a finished request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Answered.
    Ok = 0,
    /// Refused as the caller's mistake (4xx). Counts as an error all the same: on like traffic both variants refuse
    /// alike, and a canary that refuses more is a broken canary.
    Client = 1,
    /// The model failed (5xx, 424; gRPC INTERNAL, UNKNOWN, DATA_LOSS, or CANCELLED while the caller waits; an answer
    /// that was cut, or that says so itself).
    Model = 2,
    /// Too busy (429, 503; gRPC RESOURCE_EXHAUSTED, UNAVAILABLE).
    Overload = 3,
    /// Too slow (408, 504; gRPC DEADLINE_EXCEEDED; the attempt's own bound).
    Timeout = 4,
    /// No connection.
    Connect = 5,
    /// The caller hung up: nobody's fault, in no rate.
    Cancelled = 6,
}

impl Class {
    /// Number of classes.
    pub const COUNT: usize = 7;

    /// Every class, in order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ok,
        Self::Client,
        Self::Model,
        Self::Overload,
        Self::Timeout,
        Self::Connect,
        Self::Cancelled,
    ];

    /// Whether it counts in the error rate.
    #[must_use]
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Ok | Self::Cancelled)
    }

    /// Whether it counts against the breaker, and whether stable should answer instead.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Model | Self::Overload | Self::Timeout | Self::Connect
        )
    }

    /// Name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Client => "client",
            Self::Model => "model",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Cancelled => "cancelled",
        }
    }

    /// Of an HTTP status. 424 is how text-generation-inference and SageMaker say that the model threw.
    #[must_use]
    pub fn of_http(status: u16) -> Self {
        match status {
            424 => Self::Model,
            429 | 503 => Self::Overload,
            408 | 504 => Self::Timeout,
            400..=499 => Self::Client,
            500.. => Self::Model,
            _ => Self::Ok,
        }
    }

    /// Of a gRPC status code that an answer carries. A caller who has hung up gets none: CANCELLED is the server's own
    /// doing. A code that nobody knows is UNKNOWN.
    #[must_use]
    pub fn of_grpc(code: u32) -> Self {
        match code {
            0 => Self::Ok,
            4 => Self::Timeout,
            8 | 14 => Self::Overload,
            3 | 5..=7 | 9..=12 | 16 => Self::Client,
            _ => Self::Model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, position);
        }
    }

    #[test]
    fn statuses_are_classed() {
        for (class, statuses) in [
            (Class::Ok, &[200, 204, 304][..]),
            (Class::Client, &[400, 404, 415, 422, 499]),
            (Class::Model, &[424, 500, 501, 502, 520, 599]),
            (Class::Overload, &[429, 503]),
            (Class::Timeout, &[408, 504]),
        ] {
            for &status in statuses {
                assert_eq!(Class::of_http(status), class, "{status}");
            }
        }
        for (class, codes) in [
            (Class::Ok, &[0][..]),
            (Class::Client, &[3, 5, 6, 7, 9, 10, 11, 12, 16]),
            (Class::Model, &[1, 2, 13, 15, 17, u32::MAX]),
            (Class::Overload, &[8, 14]),
            (Class::Timeout, &[4]),
        ] {
            for &code in codes {
                assert_eq!(Class::of_grpc(code), class, "{code}");
            }
        }
    }
}
