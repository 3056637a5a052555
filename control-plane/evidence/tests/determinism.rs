//! The same slices must give the same bits on every machine, so the sources may only use arithmetic
//! that every machine rounds alike: `libm` for transcendental functions, ordered collections, no
//! clock.

use std::fs;
use std::path::{Path, PathBuf};

const FORBIDDEN: [&str; 16] = [
    ".ln()",
    ".ln_1p()",
    ".log10()",
    ".log2()",
    ".log(",
    ".exp()",
    ".exp_m1()",
    ".exp2()",
    ".powf(",
    ".powi(",
    ".sqrt()",
    ".mul_add(",
    "HashMap",
    "HashSet",
    "std::time",
    "thread",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder exists") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn sources_use_only_reproducible_arithmetic() {
    let mut found = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 20, "the sources were not found");
    for path in found {
        let text = fs::read_to_string(&path).expect("a readable source");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for word in FORBIDDEN {
                assert!(
                    !code.contains(word),
                    "{}:{}: {word}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}
