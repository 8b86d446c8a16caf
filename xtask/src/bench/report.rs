//! The committed results: a file for programs and a page for people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::machine::Surroundings;

const FOLDER: &str = "bench/runs";

/// A table with its words.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) words: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Everything that a run found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) command: String,
    pub(crate) surroundings: Surroundings,
    pub(crate) sections: Vec<Section>,
    pub(crate) data: Value,
}

impl Report {
    /// Writes both files and returns the page.
    pub(crate) fn write(&self, root: &Path) -> Result<String> {
        let folder = root.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let around = &self.surroundings;
        let stem = format!("{}-{}-{}", around.date, around.commit, self.name);
        let write = |ending: &str, text: &str| {
            let path = folder.join(format!("{stem}.{ending}"));
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        let data = json!({
            "name": self.name,
            "command": self.command,
            "surroundings": around.json(),
            "results": self.data,
        });
        let mut text = serde_json::to_string_pretty(&data).context("write the results as json")?;
        text.push('\n');
        write("json", &text)?;
        let page = self.page();
        write("md", &page)?;
        eprintln!("written: {FOLDER}/{stem}.md and .json");
        Ok(page)
    }

    fn page(&self) -> String {
        let around = &self.surroundings;
        let changed = if around.changed {
            ", with changes that are not in it"
        } else {
            ""
        };
        let mut page = format!(
            "# {}\n\n{} · commit {}{changed} · `{}`\n\n",
            self.title, around.date, around.commit, self.command
        );
        let facts: Vec<Vec<String>> = around
            .facts
            .iter()
            .map(|(name, value)| vec![(*name).to_owned(), value.clone()])
            .collect();
        push_table(&mut page, &["machine".to_owned(), String::new()], &facts);
        for section in &self.sections {
            push(
                &mut page,
                format_args!("\n## {}\n\n{}\n\n", section.title, section.words),
            );
            push_table(&mut page, &section.head, &section.rows);
        }
        page
    }
}

fn push_table(page: &mut String, head: &[String], rows: &[Vec<String>]) {
    let mut line = |cells: &[String]| push(page, format_args!("| {} |\n", cells.join(" | ")));
    line(head);
    line(&vec!["---".to_owned(); head.len()]);
    for row in rows {
        line(row);
    }
}

fn push(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let written = page.write_fmt(words);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let mut page = String::new();
        let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        push_table(&mut page, &words(["a", "b"]), &[words(["1", "2"])]);
        assert_eq!(page, "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
