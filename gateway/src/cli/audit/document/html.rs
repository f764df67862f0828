//! A report as one page: no script, no file beside it, and every value escaped.

use std::fmt::Write as _;

use super::{Cell, Document, Table};

/// The most rows that are drawn.
const MOST_BARS: usize = 25;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1b1f24}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:.85rem}\
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top}\
th{position:sticky;top:0;background:#f6f8fa}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#59636e}dd{margin:0}\
svg text{font:12px system-ui,sans-serif}.none{color:#59636e}";

/// The page.
pub(super) fn page(document: &Document) -> String {
    let title = escaped(&document.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<dl>\n"
    );
    for (name, value) in &document.facts {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escaped(&name.replace('_', " ")), escaped(&value.shown()));
    }
    page.push_str("</dl>\n");
    for table in &document.tables {
        let _ = writeln!(page, "<h2>{} ({})</h2>", escaped(table.title), table.rows.len());
        if let Some(column) = table.drawn {
            bars(&mut page, table, column);
        }
        rows(&mut page, table);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn rows(page: &mut String, table: &Table) {
    if table.rows.is_empty() {
        page.push_str("<p class=\"none\">none</p>\n");
        return;
    }
    let is_number = |column: usize| matches!(table.rows[0][column], Cell::Count(_) | Cell::Number(_) | Cell::Usd(_));
    let class = |column| if is_number(column) { " class=\"n\"" } else { "" };
    page.push_str("<table><thead><tr>");
    for (column, name) in table.columns.iter().enumerate() {
        let _ = write!(page, "<th{}>{}</th>", class(column), escaped(&name.replace('_', " ")));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(page, "<td{}>{}</td>", class(column), escaped(&cell.shown()));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

/// The largest values of a column as bars, each beside the words of its row.
fn bars(page: &mut String, table: &Table, column: usize) {
    let mut rows: Vec<_> = table.rows.iter().filter(|row| row[column].drawn() > 0.0).collect();
    rows.sort_by(|a, b| b[column].drawn().total_cmp(&a[column].drawn()));
    rows.truncate(MOST_BARS);
    let Some(most) = rows.first().map(|row| row[column].drawn()) else { return };
    let label = |row: &[Cell]| {
        let words = row.iter().filter_map(|cell| match cell {
            Cell::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let words: String = words.take(3).collect::<Vec<_>>().join(" · ").chars().take(60).collect();
        words
    };
    let height = rows.len() * 22 + 6;
    let name = escaped(&table.columns[column].replace('_', " "));
    let _ = writeln!(page, "<svg role=\"img\" width=\"100%\" viewBox=\"0 0 900 {height}\"><title>{name}</title>");
    for (at, row) in rows.iter().enumerate() {
        let (y, width) = (at * 22 + 4, (row[column].drawn() / most * 380.0).max(1.0));
        let _ = writeln!(
            page,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"400\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"#3b6ea5\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            y + 13,
            escaped(&label(row)),
            406.0 + width,
            y + 13,
            escaped(&row[column].shown())
        );
    }
    page.push_str("</svg>\n");
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_no_script_escapes_what_others_wrote_and_draws_the_largest_first() {
        let page = page(&super::super::tests::document());
        assert!(page.contains("<h1>Who &lt;asked&gt;</h1>") && !page.contains("<script") && !page.contains("<b>"));
        assert!(page.contains("<td>&lt;b&gt;&amp;&quot;x&quot;</td>"), "{page}");
        assert_eq!(page.matches("<rect").count(), 2, "nothing has no bar");
        let (long, short) = (page.find("width=\"380.0\"").unwrap(), page.find("width=\"190.0\"").unwrap());
        assert!(long < short);
    }
}
