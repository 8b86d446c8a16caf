//! No rings: between the top-level modules of a crate, uses point one way.
//!
//! A use is any `crate::module` or `super::…` path in product code. A name that the crate's root
//! re-exports counts as a use of the module it comes from.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{SourceFile, past_closing, words};
use super::workspace::Package;

/// Where one module first uses another.
#[derive(Debug, Clone)]
struct Place {
    path: String,
    line: usize,
}

type Graph = BTreeMap<String, BTreeMap<String, Place>>;

pub(crate) fn check(packages: &[Package], files: &[SourceFile]) -> Vec<Finding> {
    packages
        .iter()
        .flat_map(|package| check_crate(&package.folder, files))
        .collect()
}

fn check_crate(folder: &str, files: &[SourceFile]) -> Vec<Finding> {
    let source = format!("{folder}/src/");
    let files: Vec<(Vec<&str>, &SourceFile)> = files
        .iter()
        .filter_map(|file| Some((module_path(file.path.strip_prefix(&source)?), file)))
        .collect();
    let modules: BTreeSet<&str> = files
        .iter()
        .filter_map(|(path, _)| path.first().copied())
        .collect();
    let exports = root_exports(&files, &modules);
    let mut graph = Graph::new();
    for (path, file) in &files {
        if let Some(own) = path.first() {
            add_uses(&mut graph, own, path, file, &modules, &exports);
        }
    }
    rings(&graph)
        .iter()
        .map(|ring| report(ring, &graph))
        .collect()
}

/// `a/b.rs` is the module `a::b`; the root files are the empty path.
fn module_path(relative: &str) -> Vec<&str> {
    let stem = relative.strip_suffix(".rs").unwrap_or(relative);
    if stem == "lib" || stem == "main" {
        Vec::new()
    } else {
        stem.split('/').collect()
    }
}

/// The names that the root re-exports, with the module that each comes from.
fn root_exports<'a>(
    files: &[(Vec<&'a str>, &'a SourceFile)],
    modules: &BTreeSet<&'a str>,
) -> BTreeMap<&'a str, &'a str> {
    let mut exports = BTreeMap::new();
    for (_, root) in files.iter().filter(|(path, _)| path.is_empty()) {
        for statement in root
            .product
            .split(';')
            .filter(|statement| statement.contains("pub use "))
        {
            let after = statement.split("pub use ").last().unwrap_or("");
            let mut names = words(after)
                .map(|(_, word)| word)
                .filter(|word| !matches!(*word, "crate" | "self"));
            if let Some(module) = names.next().filter(|module| modules.contains(module)) {
                exports.extend(names.map(|name| (name, module)));
            }
        }
    }
    exports
}

fn add_uses<'a>(
    graph: &mut Graph,
    own: &'a str,
    path: &[&'a str],
    file: &'a SourceFile,
    modules: &BTreeSet<&'a str>,
    exports: &BTreeMap<&'a str, &'a str>,
) {
    for (offset, name) in root_names(&file.product, path.len()) {
        let module = if modules.contains(name) {
            Some(&name)
        } else {
            exports.get(name)
        };
        if let Some(module) = module.filter(|module| **module != own) {
            let place = Place {
                path: file.path.clone(),
                line: file.line(offset),
            };
            graph
                .entry(own.to_owned())
                .or_default()
                .entry((*module).to_owned())
                .or_insert(place);
        }
    }
}

/// The names that stand directly under the crate's root, in a file `depth` modules below it.
fn root_names(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (offset, word) in words(code) {
        let start = match word {
            "crate" => offset + word.len(),
            "super" => match past_supers(code, offset, depth) {
                Some(start) => start,
                None => continue,
            },
            _ => continue,
        };
        names.extend(names_after_colons(code, start));
    }
    names
}

/// The offset after a chain of `super` that reaches the root; none where it ends elsewhere.
fn past_supers(code: &str, offset: usize, depth: usize) -> Option<usize> {
    let chain = "super::".repeat(depth);
    let continues_one = code
        .get(..offset)
        .is_some_and(|before| before.ends_with("super::"));
    let rest = code.get(offset..)?;
    (!continues_one && rest.starts_with(&chain)).then(|| offset + chain.len() - "::".len())
}

/// The first names of `::a::b`, or of each branch of `::{a::b, c}`.
fn names_after_colons(code: &str, start: usize) -> Vec<(usize, &str)> {
    let Some(rest) = code.get(start..).and_then(|rest| rest.strip_prefix("::")) else {
        return Vec::new();
    };
    let offset = start + 2;
    if !rest.starts_with('{') {
        return words(rest)
            .next()
            .map(|(at, name)| (offset + at, name))
            .into_iter()
            .collect();
    }
    let end = past_closing(code, offset);
    let inner = code.get(offset + 1..end - 1).unwrap_or("");
    branches(inner)
        .filter_map(|(at, branch)| {
            words(branch)
                .next()
                .map(|(word_at, name)| (offset + 1 + at + word_at, name))
        })
        .collect()
}

/// The parts of a brace group between its own commas.
fn branches(inner: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut depth = 0_i32;
    inner
        .split(move |character| {
            depth += i32::from(character == '{') - i32::from(character == '}');
            character == ',' && depth == 0
        })
        .map(|branch| (branch.as_ptr() as usize - inner.as_ptr() as usize, branch))
}

/// One shortest ring for each module that lies on one, each ring once.
fn rings(graph: &Graph) -> Vec<Vec<String>> {
    let mut found: BTreeMap<BTreeSet<&str>, Vec<String>> = BTreeMap::new();
    for module in graph.keys() {
        if let Some(ring) = shortest_ring(graph, module) {
            let members: BTreeSet<&str> = ring.iter().copied().collect();
            found
                .entry(members)
                .or_insert_with(|| ring.iter().map(|name| (*name).to_owned()).collect());
        }
    }
    found.into_values().collect()
}

fn shortest_ring<'a>(graph: &'a Graph, start: &'a str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut level: Vec<Vec<&str>> = vec![vec![start]];
    while !level.is_empty() {
        let mut next = Vec::new();
        for path in level {
            let uses = path
                .last()
                .and_then(|last| graph.get(*last))
                .into_iter()
                .flat_map(BTreeMap::keys);
            for used in uses {
                if used == start {
                    return Some(path);
                }
                if seen.insert(used) {
                    next.push(path.iter().copied().chain([used.as_str()]).collect());
                }
            }
        }
        level = next;
    }
    None
}

fn report(ring: &[String], graph: &Graph) -> Finding {
    let pairs = ring.iter().zip(ring.iter().cycle().skip(1));
    let places: Vec<(&str, &Place)> = pairs
        .filter_map(|(from, to)| graph.get(from)?.get(to).map(|place| (from.as_str(), place)))
        .collect();
    let steps: Vec<String> = places
        .iter()
        .map(|(from, place)| format!("{from} ({}:{})", place.path, place.line))
        .collect();
    let first = ring.first().map_or("", String::as_str);
    let (path, line) = places
        .first()
        .map_or(("", 1), |(_, place)| (place.path.as_str(), place.line));
    Finding::new(
        path,
        line,
        format!(
            "modules use each other in a ring: {} -> {first}",
            steps.join(" -> ")
        ),
        "move what both need into a module of its own, below both",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_modules(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| SourceFile::new(&format!("crates/a/src/{path}"), text))
            .collect();
        check_crate("crates/a", &files)
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn a_ring_is_found_and_a_chain_is_not() {
        let cases: [(&[(&str, &str)], usize); 9] = [
            (
                &[
                    ("one.rs", "use crate::two::A;"),
                    ("two.rs", "use crate::three;"),
                    ("three.rs", ""),
                ],
                0,
            ),
            (
                &[
                    ("one.rs", "use crate::two::A;"),
                    ("two.rs", "fn a() { crate::one::b() }"),
                ],
                1,
            ),
            (
                &[
                    ("one.rs", "use super::two;"),
                    ("two/deep.rs", "use super::super::one;"),
                    ("two.rs", ""),
                ],
                1,
            ),
            (
                &[
                    ("one.rs", "use crate::two;"),
                    ("two.rs", "use super::one as x;"),
                ],
                1,
            ),
            (
                &[
                    ("one.rs", "use crate::two;"),
                    ("two.rs", "#[cfg(test)] mod tests { use crate::one; }"),
                ],
                0,
            ),
            (
                &[
                    ("one.rs", "use crate::two;"),
                    ("two.rs", "// use crate::one;"),
                ],
                0,
            ),
            (
                &[
                    ("one.rs", "use crate::{three, two::{A, B}};"),
                    ("two.rs", "use crate::{one};"),
                    ("three.rs", ""),
                ],
                1,
            ),
            (
                &[
                    ("lib.rs", "pub use one::{A};"),
                    ("one.rs", "use crate::two;"),
                    ("two.rs", "use crate::A;"),
                ],
                1,
            ),
            (
                &[
                    ("one.rs", "use crate::two;"),
                    ("two.rs", "use self::inner::one; use super::two::x;"),
                ],
                0,
            ),
        ];
        for (files, rings) in cases {
            assert_eq!(check_modules(files).len(), rings, "{files:?}");
        }
    }

    #[test]
    fn the_report_names_each_step() {
        let found = check_modules(&[
            ("one.rs", "\nuse crate::two;"),
            ("two.rs", "use crate::three;"),
            ("three.rs", "use crate::one;"),
        ]);
        let steps = "one (crates/a/src/one.rs:2) -> two (crates/a/src/two.rs:1) -> three (crates/a/src/three.rs:1) -> one";
        assert_eq!(
            found,
            [format!("modules use each other in a ring: {steps}")]
        );
    }
}
