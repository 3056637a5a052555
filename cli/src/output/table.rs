//! Lists for people.

/// Left-aligned columns two spaces apart under a head; "nothing to show" as `empty` says it.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], empty: &str) -> String {
    if rows.is_empty() {
        return format!("{empty}\n");
    }
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut out = line(&head, &widths);
    for row in rows {
        out.push_str(&line(row, &widths));
    }
    out
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(&format!("{cell:width$}  "));
    }
    let mut text = text.replace(char::is_control, " ");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["recommender".to_owned(), "v1".to_owned()],
            vec!["ümlaut".to_owned(), "version-2".to_owned()],
        ];
        assert_eq!(
            table(&["MODEL", "STABLE"], &rows, "none"),
            "MODEL        STABLE\nrecommender  v1\nümlaut       version-2\n"
        );
        assert_eq!(table(&["MODEL"], &[], "no models yet"), "no models yet\n");
    }
}
