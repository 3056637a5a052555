//! The two plans.

/// The model's name.
pub(super) const MODEL: &str = "digits";

/// From the small forest to the better one, or from the better one to the tree. Only the median latency is judged: ten
/// processes share this machine, and the tails tell more of its scheduler than of the models.
pub(super) fn plan(stable: (&str, &str), canary: (&str, &str)) -> String {
    let ((stable, stable_at), (canary, canary_at)) = (stable, canary);
    format!(
        "model: {MODEL}\n\
         stable: {{name: {stable}, endpoints: [\"http://{stable_at}\"]}}\n\
         canary: {{name: {canary}, endpoints: [\"http://{canary_at}\"]}}\n\
         steps:\n\
         \x20 - {{split: {{{canary}: 0.1, {stable}: 0.9}}, min_duration: 3s}}\n\
         \x20 - {{split: {{{canary}: 0.5, {stable}: 0.5}}, min_duration: 3s}}\n\
         \x20 - {{split: {{{canary}: 1.0}}, min_duration: 3s}}\n\
         bake: {{duration: 5s}}\n\
         guardrails:\n\
         \x20 - {{metric: error_rate, margin: 0.0025}}\n\
         \x20 - {{metric: latency, quantiles: [0.5], ratio: 2, slack: 20ms}}\n\
         \x20 - {{metric: accuracy, margin: 0.02, label_window: 5s}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plans_are_valid() {
        let plan = plan(("v1", "127.0.0.1:1"), ("v2", "127.0.0.1:2"));
        let parsed = serinus_core::plan::parse(&plan).unwrap();
        assert!(serinus_core::plan::complete(parsed, None).is_ok());
    }
}
