//! Names of raw objects are built and parsed in one file only.

use super::Finding;
use super::source::SourceFile;

/// The file that may spell them.
const OWNER: &str = "crates/postlake-raw/src/key.rs";
const PREFIX: &str = "raw/";

pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && file.path != OWNER)
        .flat_map(check_file)
        .collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    file.product_literals()
        .iter()
        .filter(|literal| names_a_raw_object(literal.text))
        .map(|literal| {
            let remedy = "use `SegmentKey` of postlake-raw: object names are built and parsed in its key.rs only";
            Finding::new(&file.path, file.line(literal.offset), format!("spells the object name \"{}\"", literal.text), remedy)
        })
        .collect()
}

/// A name or a format of one; a sentence that mentions one has blanks.
fn names_a_raw_object(text: &str) -> bool {
    !text.contains(' ')
        && (text.starts_with(PREFIX) || text.contains("/raw/") || text.contains("}raw/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_file_spells_object_names() {
        let cases = [
            (
                "crates/postlake-raw/src/store.rs",
                r#"format!("raw/{date}/{stream}")"#,
                false,
            ),
            (
                "crates/postlake-loader/src/pass.rs",
                r#"let a = "raw/";"#,
                false,
            ),
            (
                "crates/postlake-loader/src/pass.rs",
                r#"format!("{root}/raw/{date}")"#,
                false,
            ),
            (
                "crates/postlake-raw/src/key.rs",
                r#"format!("raw/{date}/{stream}")"#,
                true,
            ),
            (
                "crates/postlake/src/cli.rs",
                r#"let a = "raw segments lie under raw/ in the store";"#,
                true,
            ),
            (
                "crates/postlake/src/cli.rs",
                "// raw/ is where segments lie",
                true,
            ),
            (
                "crates/postlake/src/cli.rs",
                r#"#[cfg(test)] mod tests { const A: &str = "raw/x"; }"#,
                true,
            ),
            (
                "crates/postlake/tests/it/a.rs",
                r#"const A: &str = "raw/x";"#,
                true,
            ),
        ];
        for (path, text, passes) in cases {
            assert_eq!(
                check(&[SourceFile::new(path, text)]).is_empty(),
                passes,
                "{path}: {text}"
            );
        }
    }
}
