//! The files of the workspace, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::source::SourceFile;

/// Folders that hold no source of ours.
const SKIPPED: [&str; 4] = [".git", "node_modules", "postlake-data", "target"];

/// Larger files are data: their names are known, their text is not read.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// A file that is text and not Rust.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every file of the workspace; paths are relative to its root, with `/`.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) paths: BTreeSet<String>,
    pub(crate) rust: Vec<SourceFile>,
    pub(crate) other: Vec<TextFile>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            paths: BTreeSet::new(),
            rust: Vec::new(),
            other: Vec::new(),
        };
        tree.read_folder(root)?;
        tree.rust.sort_by(|one, other| one.path.cmp(&other.path));
        tree.other.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(tree)
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.other
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    fn read_folder(&mut self, folder: &Path) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let kind = entry
                .file_type()
                .with_context(|| format!("look at {}", entry.path().display()))?;
            let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !skipped {
                self.read_folder(&entry.path())?;
            } else if kind.is_file() {
                self.read_file(&entry.path())?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, file: &Path) -> Result<()> {
        let relative = file
            .strip_prefix(&self.root)
            .context("a listed file lies under the root")?;
        let path = relative.to_string_lossy().replace('\\', "/");
        self.paths.insert(path.clone());
        let size = fs::metadata(file)
            .with_context(|| format!("look at {path}"))?
            .len();
        let bytes = if size > MAX_TEXT_BYTES {
            Vec::new()
        } else {
            fs::read(file).with_context(|| format!("read {path}"))?
        };
        if let Ok(text) = String::from_utf8(bytes) {
            if path.ends_with(".rs") {
                self.rust.push(SourceFile::new(&path, &text));
            } else {
                self.other.push(TextFile { path, text });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Tree {
    /// A tree from paths and texts, as if it had been read.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self {
            root: PathBuf::new(),
            paths: BTreeSet::new(),
            rust: Vec::new(),
            other: Vec::new(),
        };
        for (path, text) in files {
            tree.paths.insert((*path).to_owned());
            if path.ends_with(".rs") {
                tree.rust.push(SourceFile::new(path, text));
            } else {
                tree.other.push(TextFile {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                });
            }
        }
        tree
    }
}
