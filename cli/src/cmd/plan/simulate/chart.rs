//! Operating-characteristic curves as SVG: probability of rollback and of promotion over the effect, a panel per
//! guardrail, with 95 % Monte Carlo bands. It follows the reader's choice of light or dark.

mod panel;

use super::{Results, words};
use panel::{Curve, Panel, Point};
use serinus_simulation::{Canary, Case, Interval, Tally};

const COLUMNS: usize = 3;
const MARGIN: f64 = 24.0;
const HEADER: f64 = 84.0;
const FOOTER: f64 = 36.0;

/// Colours are written out and not named: many programs that draw SVG know no CSS variables.
const STYLE: &str = "\
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; font-size: 11px; fill: #5b6675; }
.title { font-size: 18px; font-weight: 600; fill: #1c2430; }
.name { font-size: 13px; font-weight: 600; fill: #1c2430; }
.paper { fill: #ffffff; }
.grid { stroke: #e3e7ec; }
.axis { stroke: #5b6675; }
.margin { stroke: #5b6675; stroke-dasharray: 4 3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.band { stroke: none; opacity: 0.18; }
.rollback .line { stroke: #c2374a; }
.rollback .band, .rollback .dot { fill: #c2374a; }
.promotion .line { stroke: #1f7a5c; }
.promotion .band, .promotion .dot { fill: #1f7a5c; }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa5b3; }
  .title, .name { fill: #e8ecf1; }
  .paper { fill: #14181e; }
  .grid { stroke: #2a313b; }
  .axis, .margin { stroke: #9aa5b3; }
  .rollback .line { stroke: #ff8090; }
  .rollback .band, .rollback .dot { fill: #ff8090; }
  .promotion .line { stroke: #5fd0a5; }
  .promotion .band, .promotion .dot { fill: #5fd0a5; }
}
";

/// The whole picture.
pub(super) fn svg(results: &Results) -> String {
    let panels = panels(results);
    let columns = panels.len().clamp(1, COLUMNS);
    let rows = panels.len().div_ceil(columns);
    let width = 2.0 * MARGIN + columns as f64 * panel::WIDTH + (columns - 1) as f64 * MARGIN;
    let height = HEADER + rows as f64 * (panel::HEIGHT + MARGIN) + FOOTER;
    let plan = results.study.plan();
    let title = escaped(&format!(
        "{}: what the plan does with a worse canary",
        plan.model
    ));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">{title}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"34\">{title}</text>\n"
    );
    out.push_str(&legend());
    for (index, panel) in panels.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let x = MARGIN + column as f64 * (panel::WIDTH + MARGIN);
        let y = HEADER + row as f64 * (panel::HEIGHT + MARGIN);
        out.push_str(&panel.svg(x, y));
    }
    let replicas = results.tallies.first().map_or(0, Tally::replicas);
    let footer = escaped(&format!(
        "{}, {replicas} rollouts per point, each followed for {}; bands: 95% Monte Carlo intervals",
        words::per_second(results.traffic.rate),
        words::time(results.study.horizon_s()),
    ));
    out.push_str(&format!(
        "<text x=\"{MARGIN}\" y=\"{:.0}\">{footer}</text>\n</svg>\n",
        height - 16.0
    ));
    out
}

fn legend() -> String {
    let entry = |x: f64, class: &str, text: &str| {
        format!(
            "<g class=\"{class}\"><path class=\"line\" d=\"M{x} 56h22\"/><circle class=\"dot\" cx=\"{}\" cy=\"56\" r=\"3\"/></g>\n\
             <text x=\"{}\" y=\"60\">{text}</text>\n",
            x + 11.0,
            x + 30.0
        )
    };
    entry(MARGIN, "rollback", "rolled back")
        + &entry(MARGIN + 120.0, "promotion", "promoted to everyone")
        + &format!(
            "<text x=\"{}\" y=\"60\">dashed: the margin</text>\n",
            MARGIN + 300.0
        )
}

/// One panel for each guardrail with cases.
fn panels(results: &Results) -> Vec<Panel> {
    let cases = || results.study.cases().iter().zip(&results.tallies);
    let plan = results.study.plan();
    let equal = cases().find(|(case, _)| case.canary == Canary::Equal);
    let panel = |index: usize| {
        let is_its = |(case, _): &(&Case, &Tally)| matches!(case.canary, Canary::Worse { guardrail, .. } if guardrail == index);
        let points: Vec<(&Case, &Tally)> =
            equal.into_iter().chain(cases().filter(is_its)).collect();
        (points.len() > 1).then(|| Panel {
            name: escaped(&words::guardrail(plan, index)),
            units: points
                .iter()
                .map(|(case, _)| (margins(case), unit(case)))
                .collect(),
            rollback: curve(&points, Tally::rollback),
            promotion: curve(&points, Tally::promotion),
        })
    };
    (0..plan.guardrails.len()).filter_map(panel).collect()
}

fn curve(points: &[(&Case, &Tally)], share: impl Fn(&Tally) -> (f64, Interval)) -> Curve {
    let point = |(case, tally): &(&Case, &Tally)| {
        let (value, Interval { lower, upper }) = share(tally);
        Point {
            margins: margins(case),
            value,
            lower,
            upper,
        }
    };
    Curve(points.iter().map(point).collect())
}

fn margins(case: &Case) -> f64 {
    match case.canary {
        Canary::Worse { margins, .. } => margins,
        Canary::Equal | Canary::Dead => 0.0,
    }
}

fn unit(case: &Case) -> String {
    if case.canary == Canary::Equal {
        "equal".to_owned()
    } else {
        escaped(&words::shift(case.shift))
    }
}

/// Text as it may stand in XML.
fn escaped(text: &str) -> String {
    let plain = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    plain.replace('"', "&quot;").replace(char::is_control, " ")
}
