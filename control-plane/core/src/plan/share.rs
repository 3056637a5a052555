//! Fractions: what is wrong with one, and how to write it.

use serinus_common::ppm::{Ppm, ShareError};

/// The share as whole millionths.
///
/// # Errors
/// What is wrong, with the correct form.
pub(super) fn checked(value: f64) -> Result<Ppm, String> {
    Ppm::from_fraction(value).map_err(|error| match error {
        ShareError::AboveOne(value) => {
            format!(
                "{value} is above 1; shares are fractions: {}",
                advice(value)
            )
        }
        ShareError::Negative(value) => {
            format!(
                "{value} is negative; shares are fractions between 0 and 1, such as 0.1 for 10 %"
            )
        }
        ShareError::NotFinite => {
            format!(
                "{value} is no number; shares are fractions between 0 and 1, such as 0.1 for 10 %"
            )
        }
        ShareError::TooFine(value) => format!(
            "{value} is finer than one millionth, the resolution of a share; write {}",
            (value * 1e6).round() / 1e6
        ),
    })
}

/// What is wrong with a share that was written as text, with the correct form.
pub(super) fn text_message(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let trimmed = text.trim();
    let percent = trimmed
        .strip_suffix('%')
        .map(|number| number.trim().parse());
    let advice = match (percent, trimmed.parse::<f64>()) {
        (Some(Ok(percent)), _) => advice(percent),
        (None, Ok(number)) if (0.0..=1.0).contains(&number) => {
            format!("write {number} without quotes")
        }
        (None, Ok(number)) => advice(number),
        _ => advice(f64::NAN),
    };
    format!("\"{shown}\" is text; shares are fractions: {advice}")
}

fn advice(percent: f64) -> String {
    if percent > 0.0 && percent <= 100.0 {
        let fraction = (percent * 1e4).round() / 1e6;
        return format!("write {fraction} for {percent} %");
    }
    "write 0.1 for 10 %".to_owned()
}

/// A number for messages: without the noise of binary fractions.
pub(super) fn shown(value: f64) -> f64 {
    if value.abs() < 1e6 {
        (value * 1e9).round() / 1e9
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_the_correct_form() {
        assert_eq!(
            checked(10.0).unwrap_err(),
            "10 is above 1; shares are fractions: write 0.1 for 10 %"
        );
        assert!(checked(90.0).unwrap_err().ends_with("write 0.9 for 90 %"));
        assert!(checked(500.0).unwrap_err().ends_with("write 0.1 for 10 %"));
        assert!(checked(f64::NAN).unwrap_err().contains("no number"));
        assert!(checked(-0.1).unwrap_err().contains("negative"));
        assert!(
            checked(0.333_333_3)
                .unwrap_err()
                .ends_with("write 0.333333")
        );
        assert_eq!(
            text_message("10%"),
            "\"10%\" is text; shares are fractions: write 0.1 for 10 %"
        );
        assert!(text_message("2.5 %").ends_with("write 0.025 for 2.5 %"));
        assert!(text_message("0.1").ends_with("write 0.1 without quotes"));
        assert!(text_message("some").ends_with("write 0.1 for 10 %"));
    }
}
