//! Errors: a display never holds its source's text, and an I/O error never arrives without context.

use super::Finding;
use super::source::SourceFile;

pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let product = files.iter().filter(|file| file.path.starts_with("crates/"));
    product
        .flat_map(|file| [printed_sources(file), bare_io_errors(file)].concat())
        .collect()
}

fn printed_sources(file: &SourceFile) -> Vec<Finding> {
    file.product_literals()
        .iter()
        .filter(|literal| literal.text.contains("{source}") || literal.text.contains("{source:"))
        .filter(|literal| is_display_of_error(file, literal.offset))
        .map(|literal| {
            let remedy = "leave it out: `source()` carries it, and the one place that prints errors prints the chain";
            Finding::new(&file.path, file.line(literal.offset), "an error's text holds its source's text", remedy)
        })
        .collect()
}

/// The literal is the argument of `#[error(...)]`: elsewhere `source` is the source of a batch.
fn is_display_of_error(file: &SourceFile, offset: usize) -> bool {
    let before = file.code.get(..offset).unwrap_or("");
    before.trim_end().ends_with("#[error(")
}

fn bare_io_errors(file: &SourceFile) -> Vec<Finding> {
    file.product
        .match_indices("#[from]")
        .filter(|(offset, attribute)| {
            let rest = file.product.get(offset + attribute.len()..).unwrap_or("");
            let field = rest.split([',', ')', '}']).next().unwrap_or("").trim();
            field.ends_with("io::Error")
        })
        .map(|(offset, _)| {
            let remedy = "use `#[source]` in a variant that says what was being done to what";
            Finding::new(
                &file.path,
                file.line(offset),
                "`#[from]` on an I/O error loses what was being done",
                remedy,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_not_printed_and_io_errors_have_context() {
        let cases = [
            (r#"#[error("read {path}: {source}")] struct A;"#, false),
            (r#"#[error("read {path}")] struct A;"#, true),
            (r#"fn a() { format!("a batch of {source}") }"#, true),
            ("enum A { Read(#[from] std::io::Error) }", false),
            ("enum A { Read { #[from] source: io::Error } }", false),
            ("enum A { Read(#[from] SegmentError) }", true),
        ];
        for (text, passes) in cases {
            assert_eq!(
                check(&[SourceFile::new("crates/a/src/a.rs", text)]).is_empty(),
                passes,
                "{text}"
            );
        }
    }
}
