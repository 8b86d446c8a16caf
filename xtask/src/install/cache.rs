//! A folder per tool that stays from run to run, marked once it is complete.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::announced;

/// The file that says what a folder holds; written last.
const MARK: &str = "complete.txt";

/// The folder `name` with `content` in it: as it was left by an earlier run, or filled anew.
///
/// `fill` gets an empty folder. If it fails, the next run starts over. Of runs at the same time one
/// fills it, and the others wait.
pub(super) fn folder(
    name: &str,
    content: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let root = root()?;
    let lock = lock(&root, name)?;
    let folder = fill_folder(&root.join(name), name, content, fill)?;
    drop(lock);
    Ok(folder)
}

/// Held until it is dropped, or the process ends.
fn lock(root: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
    let path = root.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

fn fill_folder(
    folder: &Path,
    name: &str,
    content: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mark = folder.join(MARK);
    if fs::read_to_string(&mark).is_ok_and(|found| found == content) {
        return Ok(folder.to_owned());
    }
    announced(name, || {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        fill(folder)?;
        fs::write(&mark, content).with_context(|| format!("write {}", mark.display()))
    })?;
    Ok(folder.to_owned())
}

fn root() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("postlake"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_folder_is_filled_once_and_again_when_its_content_changes() {
        let folder = env::temp_dir().join(format!("xtask-cache-{}", std::process::id()));
        let mut filled = 0;
        let mut fill = |content: &str, succeeds: bool| {
            let result = fill_folder(&folder, "a folder", content, |_| {
                filled += 1;
                if succeeds { Ok(()) } else { bail!("broken") }
            });
            (result.is_ok(), filled)
        };
        assert_eq!(fill("a 1", false), (false, 1));
        assert_eq!(fill("a 1", true), (true, 2));
        assert_eq!(fill("a 1", true), (true, 2));
        assert_eq!(fill("a 2", true), (true, 3));
        fs::remove_dir_all(&folder).unwrap();
    }
}
