//! How rollback guardrails share alpha.

use crate::settings::{Action, Guardrail, SettingsError};

const ROUNDING: f64 = 1e-9;

/// The weight of each guardrail, 0 for those that do not roll back. Given weights are kept; the
/// others share what is left equally.
pub(crate) fn resolve(guardrails: &[Guardrail]) -> Result<Vec<f64>, SettingsError> {
    let mut given = 0.0;
    let mut open = 0u32;
    for (index, guardrail) in guardrails.iter().enumerate() {
        match (guardrail.on_breach, guardrail.weight) {
            (Action::Rollback, Some(weight)) if (0.0..=1.0).contains(&weight) => given += weight,
            (Action::Rollback, Some(weight)) => {
                let field = format!("guardrails[{index}].weight");
                let wrong = format!("must be a fraction from 0 to 1, not {weight}");
                return Err(SettingsError::new(&field, &wrong));
            }
            (Action::Rollback, None) => open += 1,
            (Action::Hold | Action::Notify, _) => {}
        }
    }
    let left = 1.0 - given;
    if left < -ROUNDING {
        let wrong = format!("sum to {given}; the sum must be at most 1");
        return Err(SettingsError::new("guardrails[].weight", &wrong));
    }
    if open > 0 && left < ROUNDING {
        let wrong = "already sum to 1; give every rollback guardrail a weight, or lower some";
        return Err(SettingsError::new("guardrails[].weight", wrong));
    }
    let share = if open > 0 {
        left / f64::from(open)
    } else {
        0.0
    };
    Ok(guardrails
        .iter()
        .map(|guardrail| match guardrail.on_breach {
            Action::Rollback => guardrail.weight.unwrap_or(share),
            Action::Hold | Action::Notify => 0.0,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Metric;

    fn resolved(given: &[(Action, Option<f64>)]) -> Result<Vec<f64>, SettingsError> {
        let guardrail = |(on_breach, weight): &(Action, Option<f64>)| Guardrail {
            metric: Metric::ErrorRate { margin: 0.01 },
            on_breach: *on_breach,
            weight: *weight,
            required: true,
        };
        resolve(&given.iter().map(guardrail).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_left_is_shared_equally() {
        use Action::{Hold, Notify, Rollback};
        assert_eq!(
            resolved(&[(Rollback, None), (Rollback, None)]),
            Ok(vec![0.5, 0.5])
        );
        assert_eq!(
            resolved(&[
                (Rollback, Some(0.5)),
                (Hold, Some(0.9)),
                (Rollback, None),
                (Notify, None)
            ]),
            Ok(vec![0.5, 0.0, 0.5, 0.0])
        );
        assert_eq!(
            resolved(&[(Rollback, Some(0.0)), (Rollback, Some(1.0))]),
            Ok(vec![0.0, 1.0])
        );
    }

    #[test]
    fn weights_that_cannot_be_shared_are_refused() {
        use Action::Rollback;
        assert!(resolved(&[(Rollback, Some(f64::NAN))]).is_err());
        assert!(resolved(&[(Rollback, Some(0.6)), (Rollback, Some(0.6))]).is_err());
        assert!(resolved(&[(Rollback, Some(1.0)), (Rollback, None)]).is_err());
        assert!(resolved(&[(Rollback, Some(-0.1)), (Rollback, None)]).is_err());
    }
}
