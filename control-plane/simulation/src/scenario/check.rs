//! Values that make no sense.

use super::Scenario;

/// Looks at values in turn and keeps the first mistake.
#[derive(Default)]
struct Values {
    first: Option<(String, String)>,
}

impl Values {
    fn within(&mut self, field: &str, value: f64, lowest: f64, highest: f64) {
        if self.first.is_none() && !(lowest..=highest).contains(&value) {
            let problem = format!("is {value}; it must be from {lowest} to {highest}");
            self.first = Some((field.to_owned(), problem));
        }
    }

    fn fraction(&mut self, field: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.within(field, value, 0.0, 1.0);
        }
    }

    /// Seconds, counts and factors: not negative, not beyond all bounds.
    fn amount(&mut self, field: &str, value: f64) {
        self.within(field, value, 0.0, 1e9);
    }

    fn positive(&mut self, field: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.within(field, value, 1e-9, 1e9);
        }
    }
}

/// The path of the first field with a mistake, and what is wrong with it.
pub(super) fn first_mistake(scenario: &Scenario) -> Option<(String, String)> {
    let mut values = Values::default();
    values.within("rate", scenario.rate, 1e-3, 1e6);
    values.within("horizon", scenario.horizon, 1.0, 1e7);
    values.amount("canary_change_at", scenario.canary_change_at);
    values.amount("label_delay", scenario.label_delay);
    values.fraction("label_fraction", scenario.label_fraction);
    variants(scenario, &mut values);
    disturbances(scenario, &mut values);
    failures(scenario, &mut values);
    let margins = &scenario.margins;
    values.within("margins.err", margins.err, 0.0, 0.99);
    values.within("margins.acc", margins.acc, 0.0, 0.99);
    values.within("margins.conv", margins.conv, 0.0, 0.99);
    values.within("margins.lat_ratio", margins.lat_ratio, 1.0, 100.0);
    values.first
}

fn variants(scenario: &Scenario, values: &mut Values) {
    let (stable, canary) = (&scenario.stable, &scenario.canary);
    values.fraction("stable.err", stable.err);
    values.fraction("stable.acc", stable.acc);
    values.fraction("stable.conv", stable.conv);
    values.positive("stable.lat_ms", stable.lat_ms);
    values.positive("stable.sigma", stable.sigma);
    values.fraction("stable.tail[0]", stable.tail[0]);
    values.positive("stable.tail[1]", stable.tail[1]);
    values.fraction("canary.err", canary.err);
    values.fraction("canary.acc", canary.acc);
    values.fraction("canary.conv", canary.conv);
    values.positive("canary.lat_ms", canary.lat_ms);
    values.positive("canary.sigma", canary.sigma);
    values.fraction("canary.tail[0]", canary.tail.map(|[share, _]| share));
    values.positive("canary.tail[1]", canary.tail.map(|[_, factor]| factor));
    values.amount("canary_warmup.seconds", scenario.canary_warmup.seconds);
    values.positive("canary_warmup.lat_mult", scenario.canary_warmup.lat_mult);
}

fn disturbances(scenario: &Scenario, values: &mut Values) {
    values.fraction("diurnal.amp", scenario.diurnal.amp);
    values.positive("diurnal.period", scenario.diurnal.period);
    values.amount("diurnal.err_amp", scenario.diurnal.err_amp);
    values.amount("bursts.per_second", scenario.bursts.per_second);
    values.amount("bursts.mean_size", scenario.bursts.mean_size);
    values.amount("incidents.per_hour", scenario.incidents.per_hour);
    values.amount("incidents.seconds", scenario.incidents.seconds);
    values.fraction("incidents.err_add", scenario.incidents.err_add);
    values.positive("incidents.lat_mult", scenario.incidents.lat_mult);
    values.within("ou_shared.sd", scenario.ou_shared.sd, 0.0, 20.0);
    values.positive("ou_shared.tau", scenario.ou_shared.tau);
    values.within("ou_arm.sd", scenario.ou_arm.sd, 0.0, 20.0);
    values.positive("ou_arm.tau", scenario.ou_arm.tau);
}

fn failures(scenario: &Scenario, values: &mut Values) {
    if let Some(flapping) = &scenario.canary_blips {
        values.amount("canary_blips.start", flapping.start);
        values.positive("canary_blips.period", flapping.period);
        values.within(
            "canary_blips.seconds",
            flapping.seconds,
            0.0,
            flapping.period,
        );
        values.fraction("canary_blips.err", flapping.err);
    }
    for (index, blip) in scenario.blips.iter().enumerate() {
        values.amount(&format!("blips[{index}].at"), blip.at);
        values.amount(&format!("blips[{index}].seconds"), blip.seconds);
        values.fraction(&format!("blips[{index}].err"), blip.err);
    }
    if let Some(at) = scenario.canary_dead_at {
        values.amount("canary_dead_at", at);
    }
}
