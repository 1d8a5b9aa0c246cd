//! What a command prints: data on standard output in the form that was asked for, everything else on standard error.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table};
use serde_json::Value;

use super::exit::Failure;

/// The form of the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people; fits the terminal.
    Table,
    /// As `table`, with every column and without a limit on the width.
    Wide,
    /// The API's JSON; a stable contract.
    Json,
    Yaml,
    /// One JSON object a line.
    Jsonl,
    Csv,
}

/// The options of every command that prints data.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Form of the data on standard output
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub output: Format,
    /// Print ids (or names) only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// One column of a table. `wide` ones are shown by `wide` and `csv` only.
#[derive(Clone, Copy)]
pub struct Column {
    pub header: &'static str,
    pub wide: bool,
    pub cell: fn(&Value) -> String,
}

/// A column of every table.
pub const fn column(header: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { header, wide: false, cell }
}

/// A column of wide tables.
pub const fn wide(header: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { header, wide: true, cell }
}

/// The value under `key` as a cell: empty for null, text without quotes, lists with commas.
pub fn text(item: &Value, key: &str) -> String {
    match item.get(key) {
        None => String::new(),
        Some(value) => plain(value),
    }
}

/// Any value as a cell.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// A duration in milliseconds for people.
pub fn milliseconds(item: &Value, key: &str) -> String {
    let duration = item.get(key).and_then(Value::as_u64).map(std::time::Duration::from_millis);
    duration.map(|duration| humantime::format_duration(duration).to_string()).unwrap_or_default()
}

/// Control characters made visible: a label must not move the cursor of whoever looks at it. New lines and tabs stay.
pub fn visible(text: &str) -> String {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_harmful) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_harmful(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Standard output takes colours.
pub fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes `text` to standard output; a reader that went away (`| head`) is not an error.
pub fn write(text: &str) -> Result<(), Failure> {
    write_bytes(text.as_bytes())
}

/// The same with bytes.
pub fn write_bytes(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::from),
    }
}

/// Writes a line to standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n"))
}

/// Tells the person something on standard error.
pub fn note(text: &str) {
    let written = writeln!(std::io::stderr(), "{text}");
    drop(written);
}

impl OutputArgs {
    /// Prints a list. `id` is the key that `-q` prints.
    pub fn list(&self, items: &[Value], id: &str, columns: &[Column]) -> Result<(), Failure> {
        if self.quiet {
            return write(&items.iter().map(|item| text(item, id) + "\n").collect::<String>());
        }
        match self.output {
            Format::Table => write(&table(items, columns, false)),
            Format::Wide => write(&table(items, columns, true)),
            Format::Json => json(&items),
            Format::Yaml => yaml(&items),
            Format::Jsonl => write(&items.iter().map(|item| format!("{item}\n")).collect::<String>()),
            Format::Csv => write(&csv(items, columns)),
        }
    }

    /// Prints one thing; `people` writes it for a person.
    pub fn one(&self, item: &Value, id: &str, people: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.quiet {
            return line(&text(item, id));
        }
        match self.output {
            Format::Table | Format::Wide => write(&visible(&people(item))),
            Format::Json => json(item),
            Format::Yaml => yaml(item),
            Format::Jsonl => line(&item.to_string()),
            Format::Csv => {
                let fields: Vec<Value> = item.as_object().map_or_else(Vec::new, |map| {
                    map.iter().map(|(key, value)| serde_json::json!({"key": key, "value": value})).collect()
                });
                write(&csv(&fields, &[column("key", |f| text(f, "key")), column("value", |f| text(f, "value"))]))
            }
        }
    }

    /// The form is one for people.
    pub fn is_for_people(&self) -> bool {
        !self.quiet && matches!(self.output, Format::Table | Format::Wide)
    }
}

fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).map_err(|error| Failure::error(error.to_string()))?)
}

fn yaml(value: &impl serde::Serialize) -> Result<(), Failure> {
    write(&serde_saphyr::to_string(value).map_err(|error| Failure::error(error.to_string()))?)
}

/// A table for people. Ids are never broken: their columns are as wide as they are.
pub fn table(items: &[Value], columns: &[Column], is_wide: bool) -> String {
    let columns: Vec<&Column> = columns.iter().filter(|column| is_wide || !column.wide).collect();
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(columns.iter().map(|column| column.header.to_uppercase()));
    table.set_content_arrangement(if is_wide || !std::io::stdout().is_terminal() {
        ContentArrangement::Disabled
    } else {
        ContentArrangement::Dynamic
    });
    let is_coloured = is_coloured();
    for item in items {
        table.add_row(columns.iter().map(|column| {
            let text = visible(&(column.cell)(item));
            match colour(column.header, &text).filter(|_| is_coloured) {
                Some(colour) => Cell::new(text).fg(colour),
                None => Cell::new(text),
            }
        }));
    }
    for (index, column) in columns.iter().enumerate() {
        if let Some(found) = table.column_mut(index) {
            found.set_padding((0, 2));
            if is_never_cut(column.header) {
                found.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

fn is_never_cut(header: &str) -> bool {
    matches!(header, "id" | "status" | "verdict") || header.ends_with(" id")
}

fn colour(header: &str, text: &str) -> Option<Color> {
    if !matches!(header, "status" | "verdict" | "result" | "state" | "answer") {
        return None;
    }
    match text {
        "completed" | "allowed" | "allow" | "closed" | "active" | "resolved" | "ok" => Some(Color::Green),
        "failed" | "timeout" | "refused" | "refuse" | "open" | "firing" | "rejected" | "stuck" => Some(Color::Red),
        "pending" | "approved" | "running" | "held" | "hold" | "approval" | "approve" | "half_open" => {
            Some(Color::Yellow)
        }
        _ => None,
    }
}

/// Comma-separated values as RFC 4180 writes them, with every column.
fn csv(items: &[Value], columns: &[Column]) -> String {
    let quote = |text: String| {
        if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let row = |cells: Vec<String>| cells.into_iter().map(quote).collect::<Vec<_>>().join(",") + "\r\n";
    let head = row(columns.iter().map(|column| column.header.replace(' ', "_")).collect());
    let body = items.iter().map(|item| row(columns.iter().map(|column| (column.cell)(item)).collect()));
    std::iter::once(head).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] =
        &[column("id", |i| text(i, "id")), column("name", |i| text(i, "name")), wide("tags", |i| text(i, "tags"))];

    #[test]
    fn a_table_keeps_ids_whole_and_shows_control_characters() {
        let items = [json!({"id": "0198c1d2-0000-7000-8000-000000000001", "name": "a\u{1b}[2Jb", "tags": ["x", "y"]})];
        insta::assert_snapshot!(table(&items, COLUMNS, false), @r"
        ID                                    NAME
        0198c1d2-0000-7000-8000-000000000001  a\u{1b}[2Jb
        ");
        insta::assert_snapshot!(table(&items, COLUMNS, true), @r"
        ID                                    NAME         TAGS
        0198c1d2-0000-7000-8000-000000000001  a\u{1b}[2Jb  x,y
        ");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let items = [json!({"id": 1, "name": "a, \"b\"\nc", "tags": null})];
        assert_eq!(csv(&items, COLUMNS), "id,name,tags\r\n1,\"a, \"\"b\"\"\nc\",\r\n");
    }

    #[test]
    fn text_that_turns_the_writing_direction_is_made_visible() {
        assert_eq!(visible("a\u{202e}b\tc\n"), "a\\u{202e}b\tc\n");
    }
}
