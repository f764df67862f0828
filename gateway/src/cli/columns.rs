//! Rows of text in columns that line up, for terminals and for `awk` alike.

/// The rows under their headings. What others wrote - model names, ids - is shown without control characters, so that
/// it cannot move the cursor or forge a line.
pub(super) fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str());
        cells.chain([headings[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    std::iter::once(line(headings)).chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str)))).collect()
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
