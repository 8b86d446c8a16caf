//! What reads our results independently: Python's engines and a browser, each tried once.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::keeper::Keeper;
use crate::install::Tools;

const PYTHON_PROBE: &str = include_str!("python_probe.py");
const CHROMIUM_PROBE: &str = include_str!("chromium_probe.cjs");
const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Writes a small Delta table with one engine and reads it with the others.
pub(super) fn try_python(keeper: &mut Keeper, tools: &Tools) -> Result<()> {
    let folder = keeper.folder("python")?;
    let mut python = Command::new(&tools.python);
    python.args(["-c", PYTHON_PROBE]).arg(folder.join("table"));
    keeper.run(&mut python)?;
    Ok(())
}

/// Renders a page and takes a picture of it.
pub(super) fn try_chromium(keeper: &mut Keeper, tools: &Tools) -> Result<()> {
    let folder = keeper.folder("chromium")?;
    let picture = folder.join("page.png");
    let mut node = Command::new(&tools.node);
    node.args(["-e", CHROMIUM_PROBE])
        .arg(&tools.chromium)
        .arg(&picture)
        .env("NODE_PATH", &tools.node_modules)
        .env("TMPDIR", &folder);
    keeper.run(&mut node)?;
    let bytes = fs::read(&picture).context("read the picture")?;
    ensure!(bytes.starts_with(PNG_MAGIC), "the picture is no PNG");
    Ok(())
}
