//! What a report says, and the forms that it can be had in.
//!
//! A report is made once, of facts and tables, and written as text for people, as JSON, as CSV (its first table), as a page
//! that reads without scripts, or as Parquet (its first table). What others wrote - names of models, of teams - is
//! escaped in each.

mod html;
mod parquet;

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};

use super::written;
use crate::cli::columns::table;

/// A report.
#[derive(Debug, Default)]
pub(in crate::cli) struct Document {
    /// What it is about, as a heading.
    pub(in crate::cli) title: String,
    /// What it says as a whole: name and value.
    pub(in crate::cli) facts: Vec<(&'static str, Cell)>,
    /// What it says row by row; the first is the one that matters.
    pub(in crate::cli) tables: Vec<Table>,
}

/// A table of a report.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    /// Its name for programs.
    pub(in crate::cli) name: &'static str,
    /// Its name for people.
    pub(in crate::cli) title: &'static str,
    /// Names of its columns, for programs; people see them in capitals.
    pub(in crate::cli) columns: Vec<&'static str>,
    /// Its rows, as wide as `columns`.
    pub(in crate::cli) rows: Vec<Vec<Cell>>,
    /// The column that is drawn, if one is worth it.
    pub(in crate::cli) drawn: Option<usize>,
}

/// A value of a report.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Cell {
    /// Nothing is known, or there is nothing.
    None,
    /// A word or a sentence.
    Text(String),
    /// A count, or the number of a record.
    Count(u64),
    /// A measure: a rate, a time, a share.
    Number(f64),
    /// An amount of money.
    Usd(f64),
    /// A moment, in Unix milliseconds.
    Time(u64),
}

/// The form that a report is wanted in.
#[derive(Clone, Debug, Args)]
#[group(multiple = true)]
pub(in crate::cli) struct Form {
    /// JSON instead of text
    #[arg(long, global = true, group = "form")]
    json: bool,
    /// CSV instead of text: the first table
    #[arg(long, global = true, group = "form")]
    csv: bool,
    /// A page that reads without scripts instead of text
    #[arg(long, global = true, group = "form")]
    html: bool,
    /// Parquet instead of text: the first table; needs --out
    #[arg(long, global = true, group = "form", requires = "out")]
    parquet: bool,
    /// File to write to instead of the screen
    #[arg(long, value_name = "FILE", global = true)]
    out: Option<PathBuf>,
}

impl Form {
    /// Whether it is JSON.
    pub(in crate::cli) fn is_json(&self) -> bool {
        self.json
    }

    /// The same, for a report that is only ever on the screen.
    pub(super) fn on_screen(&self) -> Self {
        Self { out: None, ..self.clone() }
    }

    /// Writes a report to the screen, or where it is wanted.
    pub(in crate::cli) fn write(&self, document: &Document) -> anyhow::Result<()> {
        let bytes = match self {
            Self { json: true, .. } => format!("{}\n", serde_json::to_string_pretty(&document.to_json())?).into_bytes(),
            Self { csv: true, .. } => document.to_csv()?,
            Self { html: true, .. } => html::page(document).into_bytes(),
            Self { parquet: true, .. } => document.tables.first().map_or_else(|| Ok(Vec::new()), parquet::file)?,
            _ => document.to_text().into_bytes(),
        };
        match self.sink()?.write_all(&bytes) {
            // A reader that has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    /// The screen, or the file that is wanted.
    pub(in crate::cli) fn sink(&self) -> anyhow::Result<Box<dyn Write>> {
        let create = |file: &PathBuf| File::create(file).with_context(|| format!("cannot write {}", file.display()));
        Ok(match &self.out {
            Some(file) => Box::new(create(file)?),
            None => Box::new(io::stdout().lock()),
        })
    }
}

impl Cell {
    /// The text of what may not be there.
    pub(in crate::cli) fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::None, |text| Self::Text(text.into()))
    }

    /// Several names as one.
    pub(in crate::cli) fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        if names.is_empty() { Self::None } else { Self::Text(names.join(", ")) }
    }

    fn shown(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            // Three figures mostly, and none behind them that nobody can measure.
            Self::Number(number) if number.abs() < 1.0 => format!("{number:.3}"),
            Self::Number(number) if number.abs() < 10.0 => format!("{number:.2}"),
            Self::Number(number) => format!("{number:.1}"),
            Self::Usd(usd) => format!("{usd:.6}"),
            Self::Time(millis) => written(*millis),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Number(number) => (*number).into(),
            Self::Usd(usd) => (*usd).into(),
            Self::Time(_) => self.shown().into(),
        }
    }

    /// How long its bar is.
    fn drawn(&self) -> f64 {
        match self {
            Self::Count(count) => *count as f64,
            Self::Number(number) | Self::Usd(number) => *number,
            _ => 0.0,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<f64>> for Cell {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::None, Self::Number)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl Table {
    pub(in crate::cli) fn new(name: &'static str, title: &'static str, columns: &[&'static str]) -> Self {
        Self { name, title, columns: columns.to_vec(), rows: Vec::new(), drawn: None }
    }

    /// The same, with this column drawn.
    pub(in crate::cli) fn drawing(mut self, column: &str) -> Self {
        self.drawn = self.columns.iter().position(|name| *name == column);
        self
    }
}

impl Document {
    pub(in crate::cli) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.facts {
            let value = crate::cli::columns::shown(&value.shown());
            text.push_str(&format!("  {:width$}  {value}\n", name.replace('_', " ")));
        }
        for of in &self.tables {
            text.push_str(&format!("\n{} ({})\n", of.title, of.rows.len()));
            if of.rows.is_empty() {
                continue;
            }
            let headings: Vec<_> = of.columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
            let rows: Vec<Vec<String>> = of.rows.iter().map(|row| row.iter().map(Cell::shown).collect()).collect();
            text.push_str(&table(&headings, &rows));
        }
        text
    }

    fn to_json(&self) -> Value {
        let mut object = Map::from_iter([("title".to_owned(), self.title.as_str().into())]);
        object.extend(self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.to_json())));
        let tables = self.tables.iter().map(|table| {
            let row = |row: &Vec<Cell>| -> Value {
                let cells = table.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.to_json()));
                Value::Object(cells.collect())
            };
            (table.name.to_owned(), json!(table.rows.iter().map(row).collect::<Vec<_>>()))
        });
        object.insert("tables".to_owned(), Value::Object(tables.collect()));
        Value::Object(object)
    }

    fn to_csv(&self) -> anyhow::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if let Some(table) = self.tables.first() {
            writer.write_record(&table.columns)?;
            for row in &table.rows {
                writer.write_record(row.iter().map(|cell| harmless(cell.shown())))?;
            }
        }
        Ok(writer.into_inner()?)
    }
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::audit) fn document() -> Document {
        let mut table = Table::new("usage", "Usage", &["team", "requests", "cost_usd", "last"]).drawing("requests");
        table.rows = vec![
            vec!["=1+1".into(), Cell::Count(3), Cell::Usd(0.5), Cell::Time(0)],
            vec![Cell::None, Cell::Count(6), Cell::None, Cell::None],
            vec!["<b>&\"x\"".into(), Cell::Count(0), Cell::None, Cell::None],
        ];
        Document { title: "Who <asked>".to_owned(), facts: vec![("records", 9.into())], tables: vec![table] }
    }

    #[test]
    fn a_report_is_text_with_columns_that_line_up() {
        let text = document().to_text();
        assert!(
            text.starts_with("Who <asked>\n  records  9\n\nUsage (3)\nTEAM     REQUESTS  COST USD  LAST\n"),
            "{text}"
        );
        assert!(text.contains("=1+1     3         0.500000  1970-01-01T00:00:00.000Z\n"), "{text}");
    }

    #[test]
    fn a_report_is_json_with_a_row_an_object() {
        let json = document().to_json();
        assert_eq!(json["records"], 9);
        assert_eq!(
            json["tables"]["usage"][0],
            json!({"team": "=1+1", "requests": 3, "cost_usd": 0.5, "last": "1970-01-01T00:00:00.000Z"})
        );
        assert_eq!(json["tables"]["usage"][1]["team"], Value::Null);
    }

    #[test]
    fn a_measure_is_a_number_for_programs_and_has_no_more_figures_than_matter_for_people() {
        let numbers = [1_234.567, 12.34, 1.234, 0.8512].map(Cell::from);
        assert_eq!(numbers.each_ref().map(Cell::shown), ["1234.6", "12.3", "1.23", "0.851"]);
        assert_eq!(
            numbers.each_ref().map(Cell::to_json),
            [json!(1_234.567), json!(12.34), json!(1.234), json!(0.8512)]
        );
        assert_eq!(Cell::from(None::<f64>), Cell::None);
    }

    #[test]
    fn a_cell_of_csv_is_quoted_and_never_a_formula() {
        let csv = String::from_utf8(document().to_csv().unwrap()).unwrap();
        assert_eq!(
            csv,
            "team,requests,cost_usd,last\n'=1+1,3,0.500000,1970-01-01T00:00:00.000Z\n,6,,\n\"<b>&\"\"x\"\"\",0,,\n"
        );
    }
}
