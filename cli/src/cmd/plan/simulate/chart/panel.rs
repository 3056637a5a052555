//! One panel: axes, bands and curves.

use std::fmt::Write as _;

pub(super) const WIDTH: f64 = 330.0;
pub(super) const HEIGHT: f64 = 250.0;

const LEFT: f64 = 44.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 54.0;

/// A probability at one effect, with its interval; all 0..=1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) margins: f64,
    pub(super) value: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// Points by rising effect.
#[derive(Clone, Debug)]
pub(super) struct Curve(pub(super) Vec<Point>);

/// What a guardrail does over the effect on it.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// Escaped.
    pub(super) name: String,
    /// Effects in margins, and the same in the metric's unit, escaped.
    pub(super) units: Vec<(f64, String)>,
    pub(super) rollback: Curve,
    pub(super) promotion: Curve,
}

/// Where effects and probabilities lie.
#[derive(Clone, Copy, Debug)]
struct Scale {
    most: f64,
}

impl Scale {
    fn x(self, margins: f64) -> f64 {
        LEFT + margins / self.most * (WIDTH - LEFT - RIGHT)
    }

    fn y(self, share: f64) -> f64 {
        TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
    }

    /// `x y`, with the digits that a screen can show.
    fn at(self, margins: f64, share: f64) -> String {
        format!("{:.1} {:.1}", self.x(margins), self.y(share))
    }
}

impl Panel {
    /// The panel with its upper left corner there.
    pub(super) fn svg(&self, x: f64, y: f64) -> String {
        let most = self
            .units
            .iter()
            .map(|(margins, _)| *margins)
            .fold(1.0, f64::max);
        let scale = Scale { most };
        let mut out = format!("<g class=\"panel\" transform=\"translate({x:.0} {y:.0})\">\n");
        let _ = writeln!(
            out,
            "<text class=\"name\" x=\"{LEFT}\" y=\"14\">{}</text>",
            self.name
        );
        axes(&mut out, scale, &self.units);
        self.promotion.draw(&mut out, scale, "promotion");
        self.rollback.draw(&mut out, scale, "rollback");
        out.push_str("</g>\n");
        out
    }
}

fn axes(out: &mut String, scale: Scale, units: &[(f64, String)]) {
    let (left, right) = (scale.x(0.0), scale.x(scale.most));
    for percent in [0, 25, 50, 75, 100] {
        let y = scale.y(f64::from(percent) / 100.0);
        let class = if percent == 0 { "axis" } else { "grid" };
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>"
        );
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent}%</text>",
            left - 6.0,
            y + 4.0
        );
    }
    let bottom = scale.y(0.0);
    for (margins, unit) in units.iter().filter(|(margins, _)| margins.fract() == 0.0) {
        let x = scale.x(*margins);
        let _ = writeln!(out, "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v4\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{margins}</text>",
            bottom + 17.0
        );
        let _ = writeln!(
            out,
            "<text class=\"unit\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{unit}</text>",
            bottom + 31.0
        );
    }
    let _ = writeln!(
        out,
        "<path class=\"margin\" d=\"M{:.1} {bottom:.1}V{TOP:.1}\"/>",
        scale.x(1.0)
    );
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">effect in margins</text>",
        0.5 * (left + right),
        bottom + 47.0
    );
    let middle = scale.y(0.5);
    let _ = writeln!(
        out,
        "<text text-anchor=\"middle\" transform=\"translate(9 {middle:.1}) rotate(-90)\">probability</text>"
    );
}

impl Curve {
    fn draw(&self, out: &mut String, scale: Scale, class: &str) {
        let along = |share: fn(&Point) -> f64| {
            self.0
                .iter()
                .map(move |point| scale.at(point.margins, share(point)))
        };
        let upper: Vec<String> = along(|point| point.upper).collect();
        let lower: Vec<String> = along(|point| point.lower).collect();
        let back: Vec<&str> = lower.iter().rev().map(String::as_str).collect();
        let line: Vec<String> = along(|point| point.value).collect();
        let _ = writeln!(out, "<g class=\"{class}\">");
        let _ = writeln!(
            out,
            "<path class=\"band\" d=\"M{}L{}Z\"/>",
            upper.join("L"),
            back.join("L")
        );
        let _ = writeln!(out, "<path class=\"line\" d=\"M{}\"/>", line.join("L"));
        for point in &self.0 {
            let _ = writeln!(
                out,
                "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                scale.x(point.margins),
                scale.y(point.value)
            );
        }
        out.push_str("</g>\n");
    }
}
