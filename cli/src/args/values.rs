//! Values of flags.

use serinus_common::ppm::Ppm;
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::time::Duration;

/// A time such as `90s`, `10m`, `250ms`.
///
/// # Errors
/// Says the correct form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    serinus_core::plan::parse_duration(text)
}

/// `v2=http://127.0.0.1:9002`: a variant and its endpoints, several separated by commas.
///
/// # Errors
/// Says the correct form.
pub(crate) fn variant(text: &str) -> Result<v1::Variant, String> {
    let form = || format!("`{text}` is no NAME=URL, such as v2=http://127.0.0.1:9002");
    let (name, urls) = text.split_once('=').ok_or_else(form)?;
    let endpoints: Vec<String> = urls.split(',').map(|url| url.trim().to_owned()).collect();
    if name.is_empty() || endpoints.iter().any(String::is_empty) {
        return Err(form());
    }
    Ok(v1::Variant {
        name: name.to_owned(),
        endpoints,
        ..Default::default()
    })
}

/// `version=1`: how a variant's calls name the model, several fields separated by commas.
///
/// # Errors
/// Says the correct form.
pub(crate) fn rewrite(text: &str) -> Result<v1::Rewrite, String> {
    let form = || {
        format!("`{text}` is no rewrite; write model=NAME, version=V or label=L, such as version=1")
    };
    let mut rewrite = v1::Rewrite::default();
    for field in text.split(',') {
        let (name, value) = field.split_once('=').ok_or_else(form)?;
        let place = match name.trim() {
            "model" => &mut rewrite.model,
            "version" => &mut rewrite.version,
            "label" => &mut rewrite.label,
            _ => return Err(form()),
        };
        if value.is_empty() || !place.is_empty() {
            return Err(form());
        }
        value.clone_into(place);
    }
    Ok(rewrite)
}

/// One part of a split as it was typed; checked as a whole by [`split`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    name: String,
    fraction: String,
}

/// `v2=0.1`.
///
/// # Errors
/// Says the correct form.
pub(crate) fn part(text: &str) -> Result<Part, String> {
    match text.split_once('=') {
        Some((name, fraction)) if !name.is_empty() && !fraction.is_empty() => Ok(Part {
            name: name.to_owned(),
            fraction: fraction.to_owned(),
        }),
        _ => Err(format!("`{text}` is no NAME=FRACTION, such as v2=0.1")),
    }
}

/// The split that the parts make.
///
/// # Errors
/// Every mistake at once: no fractions, names given twice, a sum off 1.0 by more than 1e-9.
pub(crate) fn split(parts: &[Part]) -> Result<BTreeMap<String, f64>, Vec<v1::Violation>> {
    let mut split = BTreeMap::new();
    let mut violations = Vec::new();
    let mut complain = |path: &str, message: String| {
        violations.push(v1::Violation {
            path: path.to_owned(),
            message,
        });
    };
    for part in parts {
        let path = format!("split.{}", part.name);
        match fraction(&part.fraction) {
            Ok(fraction) if split.insert(part.name.clone(), fraction).is_some() => {
                complain(&path, "is given twice".to_owned());
            }
            Ok(_) => {}
            Err(message) => complain(&path, message),
        }
    }
    let sum: f64 = split.values().sum();
    if split.len() == parts.len() && (sum - 1.0).abs() > 1e-9 {
        let shown = (sum * 1e9).round() / 1e9;
        complain(
            "split",
            format!("sums to {shown}, not to 1.0; write all variants, such as v2=0.1 v1=0.9"),
        );
    }
    if violations.is_empty() {
        Ok(split)
    } else {
        Err(violations)
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is no fraction; write 0.1 for 10 %"))?;
    Ppm::from_fraction(number).map_err(|error| error.to_string())?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(texts: &[&str]) -> Vec<Part> {
        texts.iter().map(|text| part(text).unwrap()).collect()
    }

    fn mistakes(texts: &[&str]) -> Vec<String> {
        let violations = split(&parts(texts)).unwrap_err();
        violations
            .iter()
            .map(crate::failure::violation_line)
            .collect()
    }

    #[test]
    fn variants_have_a_name_and_endpoints() {
        let two = variant("v2=http://a:1,http://b:2").unwrap();
        assert_eq!(two.name, "v2");
        assert_eq!(two.endpoints, ["http://a:1", "http://b:2"]);
        for bad in ["v2", "=http://a", "v2=", "v2=http://a,"] {
            assert!(variant(bad).unwrap_err().contains("NAME=URL"), "{bad}");
        }
    }

    #[test]
    fn rewrites_are_fields() {
        let both = rewrite("model=meta/llama:8b,version=2").unwrap();
        assert_eq!(
            (both.model.as_str(), both.version.as_str()),
            ("meta/llama:8b", "2")
        );
        for bad in ["", "1", "version=", "versions=1", "label=a,label=b"] {
            assert!(rewrite(bad).unwrap_err().contains("version=1"), "{bad}");
        }
    }

    #[test]
    fn splits_are_fractions_that_sum_to_one() {
        let split = split(&parts(&["v2=0.1", "v1=0.9"])).unwrap();
        assert_eq!(
            split,
            [("v1".to_owned(), 0.9), ("v2".to_owned(), 0.1)].into()
        );
    }

    #[test]
    fn all_mistakes_of_a_split_are_told_at_once() {
        let told = mistakes(&["v2=10", "v1=90%", "v3=-0.1", "v4=NaN"]);
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].starts_with("split.v2: 10 is above 1"), "{told:?}");
        assert!(told[1].contains("write 0.1 for 10 %"), "{told:?}");
        assert!(told[2].contains("negative"), "{told:?}");
        assert_eq!(
            mistakes(&["v2=0.1", "v1=0.8"]),
            ["split: sums to 0.9, not to 1.0; write all variants, such as v2=0.1 v1=0.9"]
        );
        assert_eq!(
            mistakes(&["v2=0.5", "v2=0.5"]),
            ["split.v2: is given twice"]
        );
    }

    #[test]
    fn a_part_is_a_name_and_a_fraction() {
        for bad in ["v2", "=0.1", "v2="] {
            assert!(part(bad).unwrap_err().contains("NAME=FRACTION"), "{bad}");
        }
        assert!(duration("soon").is_err());
        assert_eq!(duration("10m").unwrap(), Duration::from_secs(600));
    }
}
