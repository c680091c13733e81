//! The report: sections of one table each, printed as text and written as JSON, Markdown and SVG.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::chart::{self, Bar};
use super::machine::Machine;
use crate::error::{Context, Result};

/// Rows of text under a header. The first column is left-aligned, the others right-aligned.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let columns = self.header.len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.header[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        let header: Vec<String> = self.header.iter().map(|cell| (*cell).to_owned()).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    pub(super) fn markdown(&self) -> String {
        if self.header.is_empty() {
            return String::new(); // nothing was measured
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.header.iter().map(|cell| (*cell).to_owned()).collect());
        let rule = |column: usize| if column == 0 { "---" } else { "---:" }.to_owned();
        out.push_str(&line((0..self.header.len()).map(rule).collect()));
        for row in &self.rows {
            out.push_str(&line(row.iter().map(|cell| cell.replace('|', "\\|")).collect()));
        }
        out
    }
}

/// One scenario's result.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// The scenario's name: heading, JSON key and file name of its chart.
    pub(super) name: &'static str,
    /// What was done, in a sentence.
    pub(super) what: String,
    pub(super) table: Table,
    /// Goals, met or missed, and whatever else a reader must know.
    pub(super) notes: Vec<String>,
    /// What makes the run worthless as a measurement; the task fails with them.
    pub(super) problems: Vec<String>,
    /// Bars and their unit; no chart without bars.
    pub(super) bars: Vec<Bar>,
    pub(super) unit: &'static str,
    pub(super) json: Value,
}

impl Section {
    pub(super) fn print(&self) {
        println!("\n== {}: {}\n{}", self.name, self.what, self.table.text());
        for note in &self.notes {
            println!("{note}");
        }
        for problem in &self.problems {
            println!("INVALID: {problem}");
        }
    }
}

/// Everything of one run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// Names and versions of what took part.
    pub(super) versions: Vec<(String, String)>,
    /// How long and how often.
    pub(super) method: String,
    pub(super) sections: Vec<Section>,
}

impl Report {
    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.sections.iter().flat_map(|section| &section.problems)
    }

    /// Writes `bench.json`, `bench.md` and a chart for each section that has bars.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).context(folder.display())?;
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).context(name);
        let json = serde_json::to_string_pretty(&self.json()).context("writing JSON")?;
        write("bench.json", &(json + "\n"))?;
        write("bench.md", &self.markdown())?;
        for section in self.sections.iter().filter(|section| !section.bars.is_empty()) {
            let title = format!("{}: {}", section.name, section.unit);
            write(&chart_name(section), &chart::svg(&title, &section.bars))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let sections = self.sections.iter().map(|section| {
            let mut value = section.json.clone();
            value["notes"] = json!(section.notes);
            value["problems"] = json!(section.problems);
            (section.name.to_owned(), value)
        });
        json!({
            "machine": self.machine.json(),
            "versions": self.versions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "method": self.method,
            "scenarios": sections.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn markdown(&self) -> String {
        let mut out = format!("# Benchmark report\n\n{}\n\n", self.method);
        let mut facts = Table { header: vec!["fact", "value"], rows: Vec::new() };
        facts.rows.extend(self.machine.facts().into_iter().map(|(name, value)| vec![name.to_owned(), value]));
        facts.rows.extend(self.versions.iter().map(|(name, version)| vec![name.clone(), version.clone()]));
        out.push_str(&facts.markdown());
        for section in &self.sections {
            // Writing to a string cannot fail.
            let _ = write!(out, "\n## {}\n\n{}\n\n{}", section.name, section.what, section.table.markdown());
            for line in section.notes.iter().chain(&section.problems) {
                let _ = write!(out, "\n- {line}");
            }
            out.push('\n');
            if !section.bars.is_empty() {
                let _ = write!(out, "\n![{}]({})\n", section.unit, chart_name(section));
            }
        }
        out
    }
}

fn chart_name(section: &Section) -> String {
    format!("{}.svg", section.name)
}

#[cfg(test)]
mod tests {
    use super::Table;

    fn table() -> Table {
        Table {
            header: vec!["proxy", "µs"],
            rows: vec![vec!["edge-lb".into(), "9.5".into()], vec!["a|b".into(), "10.25".into()]],
        }
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(table().text(), "proxy       µs\nedge-lb    9.5\na|b      10.25\n");
    }

    #[test]
    fn markdown_escapes_its_bars() {
        assert_eq!(
            table().markdown(),
            "| proxy | µs |\n| --- | ---: |\n| edge-lb | 9.5 |\n| a\\|b | 10.25 |\n"
        );
    }
}
