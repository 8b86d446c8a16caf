//! Secrets: compared as digests, in constant time, and in no other way.

use super::Finding;
use super::source::SourceFile;

/// Where credentials are checked.
const CHECKED: [&str; 2] = [
    "crates/postlake-receiver/src/auth",
    "crates/postlake-receiver/src/token_endpoint",
];
/// Types that hold one, or stand for one.
const TYPES: [&str; 2] = ["Secret", "Digest"];
/// What makes two of them comparable with `==`.
const TRAITS: [&str; 4] = ["PartialEq", "Eq", "PartialOrd", "Ord"];
/// Words in the name of what holds one.
const WORDS: [&str; 5] = ["secret", "digest", "password", "token", "signature"];
/// Comparisons that end at the first byte that differs.
const COMPARISONS: [&str; 6] = ["==", "!=", ".eq(", ".ne(", ".cmp(", "starts_with("];

const REMEDY: &str = "compare with `Digest::is_among`, which takes the same time whatever differs";

pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let checked = files
        .iter()
        .filter(|file| CHECKED.iter().any(|place| file.path.starts_with(place)));
    checked
        .flat_map(|file| [comparable_types(file), comparisons(file)].concat())
        .collect()
}

/// The compiler refuses `==` on the types as long as they lack the trait.
fn comparable_types(file: &SourceFile) -> Vec<Finding> {
    let mut derived = "";
    let mut findings = Vec::new();
    for (index, line) in file.product.lines().enumerate() {
        let line = line.trim();
        let implemented = TYPES.iter().any(|name| {
            TRAITS
                .iter()
                .any(|of| line.starts_with("impl") && line.contains(&format!("{of} for {name}")))
        });
        let is_type = line
            .split("struct ")
            .nth(1)
            .is_some_and(|rest| TYPES.iter().any(|name| is_name(rest, name)));
        let comparable = derived
            .split(|character: char| !character.is_alphanumeric())
            .any(|word| TRAITS.contains(&word));
        if implemented || is_type && comparable {
            findings.push(Finding::new(
                &file.path,
                index + 1,
                "a secret that can be compared with `==`",
                REMEDY,
            ));
        }
        if line.starts_with("#[derive(") {
            derived = line;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            derived = "";
        }
    }
    findings
}

fn is_name(text: &str, name: &str) -> bool {
    text.strip_prefix(name)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

/// The same for bytes and texts that were taken out of them.
fn comparisons(file: &SourceFile) -> Vec<Finding> {
    let compared = |line: &str| {
        let line = line.to_lowercase();
        COMPARISONS.iter().any(|sign| line.contains(sign))
            && WORDS.iter().any(|word| line.contains(word))
    };
    let lines = file.product.lines().enumerate();
    lines
        .filter(|(_, line)| compared(line))
        .map(|(index, _)| {
            let what = "a secret is compared in a time that says how much of it is right";
            Finding::new(&file.path, index + 1, what, REMEDY)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_compared_with_equals() {
        let cases = [
            ("#[derive(Clone)]\nstruct Secret(Box<str>);", true),
            (
                "#[derive(Clone, PartialEq)]\npub struct Secret(Box<str>);",
                false,
            ),
            (
                "#[derive(PartialEq, Eq)]\n#[must_use]\nstruct Digest([u8; 32]);",
                false,
            ),
            ("#[derive(PartialEq)]\nstruct SecretFault;", true),
            ("#[derive(PartialEq)]\nstruct A;\nstruct Digest;", true),
            ("impl PartialEq for Digest {}", false),
            ("fn a() -> bool { password == expected }", false),
            (
                "fn a() -> bool { login.secret.as_bytes().eq(other) }",
                false,
            ),
            ("fn a() -> bool { client.key_id == fields.key_id }", true),
            (
                "fn a() -> bool { Digest::of(token).is_among(&known) }",
                true,
            ),
            ("// a secret == another\nfn a() {}", true),
            (
                "#[cfg(test)]\nmod tests { fn a() { assert!(secret == other) } }",
                true,
            ),
        ];
        for (text, passes) in cases {
            let path = "crates/postlake-receiver/src/auth/basic.rs";
            let found = check(&[SourceFile::new(path, text)]);
            assert_eq!(found.is_empty(), passes, "{text}: {found:?}");
        }
        let elsewhere = SourceFile::new("crates/a/src/a.rs", "fn a() -> bool { token == next }");
        assert!(check(&[elsewhere]).is_empty());
    }
}
