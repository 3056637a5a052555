//! Targeting rules of a fixed split, as a plan has them.

use serde::{Deserialize, Serialize};
use serinus_proto::v1;
use v1::targeting_rule::{Place, Test};

/// `{ variant = "v2", header = { name = "x-beta", equals = "1" } }`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Where the requests go.
    pub variant: String,
    /// A header is tested, or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Value>,
    /// a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Value>,
}

/// Whose value is tested, and one of four tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Name of the header or the cookie.
    pub name: String,
    /// The whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// One of several whole values.
    #[serde(rename = "in", default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// What the value begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// An expression that fits somewhere in the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

impl Rule {
    /// As in an assignment.
    ///
    /// # Errors
    /// If it has not exactly one place and one test.
    pub(super) fn to_contract(&self) -> Result<v1::TargetingRule, &'static str> {
        let (place, value) = match (&self.header, &self.cookie) {
            (Some(value), None) => (Place::Header(value.name.clone()), value),
            (None, Some(value)) => (Place::Cookie(value.name.clone()), value),
            _ => return Err("write one of header and cookie"),
        };
        Ok(v1::TargetingRule {
            variant: self.variant.clone(),
            place: Some(place),
            test: Some(value.test()?),
        })
    }
}

impl Value {
    fn test(&self) -> Result<Test, &'static str> {
        let values = self.one_of.clone();
        let mut tests = [
            self.equals.clone().map(Test::Equals),
            (!values.is_empty()).then_some(Test::OneOf(v1::OneOf { values })),
            self.prefix.clone().map(Test::Prefix),
            self.regex.clone().map(Test::Regex),
        ]
        .into_iter()
        .flatten();
        match (tests.next(), tests.next()) {
            (Some(test), None) => Ok(test),
            _ => Err("write one of equals, in, prefix and regex"),
        }
    }
}
