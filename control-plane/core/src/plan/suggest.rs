//! "Did you mean?"

/// The known name nearest to a mistyped one, if it is near.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (distance(&typed, name), name))
        .filter(|&(distance, name)| distance <= allowed || same_but_for_marks(&typed, name))
        .min()
        .map(|(_, name)| name)
}

fn same_but_for_marks(a: &str, b: &str) -> bool {
    let letters = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
    letters(a) == letters(b)
}

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other: the restricted
/// Damerau-Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    // Names of fields are short; a long one is no typing mistake.
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["guardrails", "max_duration", "min_duration", "bake"];
        assert_eq!(nearest("guardrail", known), Some("guardrails"));
        assert_eq!(nearest("maxDuration", known), Some("max_duration"));
        assert_eq!(nearest("baek", known), Some("bake"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
