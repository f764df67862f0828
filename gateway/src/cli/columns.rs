//! Rows of text in columns that line up, for terminals and for `awk` alike.

/// The rows under their headings. What others wrote - model names, ids - is shown without control characters, so that
/// it cannot move the cursor or forge a line.
pub(super) fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    table(&headings, rows)
}

/// The same of rows whose width is not known beforehand; each is as wide as the headings.
pub(super) fn table(headings: &[impl AsRef<str>], rows: &[impl AsRef<[String]>]) -> String {
    let headings: Vec<&str> = headings.iter().map(AsRef::as_ref).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.as_ref().iter().map(|cell| shown(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str());
        cells.chain([headings[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let cells = |row: &Vec<String>| line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    std::iter::once(line(&headings)).chain(rows.iter().map(cells)).collect()
}

/// A text that others wrote, as a cell shows it.
pub(super) fn shown(cell: &str) -> String {
    // An empty cell would shift the columns after it for a reader that splits at spaces.
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_an_empty_cell_is_a_dash() {
        let rows = [["a".to_owned(), "long name".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(columns(["ID", "NAME"], &rows), "ID   NAME\na    long name\nbcd  -\n");
    }

    #[test]
    fn a_cell_cannot_forge_a_line_or_move_the_cursor() {
        let text = columns(["ID"], &[["a\nb\x1b[2J".to_owned()]]);
        assert_eq!(text, "ID\na\u{fffd}b\u{fffd}[2J\n");
    }
}
