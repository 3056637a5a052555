//! Rules that send requests to a variant whatever their bucket.

use super::key::cookie;
use crate::head::Head;
use serinus_common::targeting::Pattern;

/// The rules of a model, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Position of its variant.
    pub(crate) variant: usize,
    pub(crate) place: Place,
    pub(crate) pattern: Pattern,
}

/// Whose value is tested; names of headers are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header(Box<str>),
    Cookie(Box<str>),
}

impl Rules {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The variant of the first rule that fits and whose variant can be used.
    #[inline]
    pub(crate) fn variant(
        &self,
        head: &impl Head,
        mut usable: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let mut rules = self.0.iter();
        let rule = rules.find(|rule| rule.fits(head) && usable(rule.variant));
        rule.map(|rule| rule.variant)
    }
}

impl Rule {
    fn fits(&self, head: &impl Head) -> bool {
        match &self.place {
            Place::Header(name) => head.values(name).any(|value| self.pattern.fits(value)),
            Place::Cookie(name) => cookie(head, name).is_some_and(|value| self.pattern.fits(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(variant: usize, place: Place, pattern: Pattern) -> Rule {
        Rule {
            variant,
            place,
            pattern,
        }
    }

    fn chosen(headers: &[(&str, &str)], usable: fn(usize) -> bool) -> Option<usize> {
        let header = |name: &str| Place::Header(name.into());
        let rules = Rules::new(vec![
            rule(1, header("x-beta"), Pattern::equals("1").unwrap()),
            rule(
                2,
                Place::Cookie("group".into()),
                Pattern::one_of(["a", "b"]).unwrap(),
            ),
            rule(0, header("user-agent"), Pattern::regex("^probe/").unwrap()),
            rule(2, header("x-beta"), Pattern::prefix("1").unwrap()),
        ]);
        let mut request = http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        rules.variant(&head, usable)
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let all = |_| true;
        assert_eq!(chosen(&[("x-beta", "1")], all), Some(1));
        assert_eq!(chosen(&[("x-beta", "0"), ("x-beta", "1")], all), Some(1));
        assert_eq!(chosen(&[("x-beta", "12")], all), Some(2));
        assert_eq!(chosen(&[("cookie", "x=1; group=b")], all), Some(2));
        assert_eq!(
            chosen(&[("cookie", "group=b"), ("x-beta", "1")], all),
            Some(1)
        );
        assert_eq!(chosen(&[("user-agent", "probe/2")], all), Some(0));
        assert_eq!(
            chosen(&[("user-agent", "x"), ("cookie", "group=c")], all),
            None
        );
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        assert_eq!(chosen(&[("x-beta", "1")], |variant| variant != 1), Some(2));
        assert_eq!(chosen(&[("x-beta", "1")], |variant| variant == 0), None);
    }
}
