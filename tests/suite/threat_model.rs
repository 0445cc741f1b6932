//! A promise of the threat model is held by a test that is there.

use std::fs;
use std::path::Path;

/// All that is in Rust files of a folder and below it.
fn source(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.filter(|path| path.file_name().is_none_or(|name| name != "target"));
    let texts = texts.map(|path| match path.extension() {
        _ if path.is_dir() => source(&path),
        Some(ending) if ending == "rs" => fs::read_to_string(path).unwrap(),
        _ => String::new(),
    });
    texts.collect()
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = source(&root.join("src")) + &source(&root.join("tests"));
    let page = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let names = page.split('`').skip(1).step_by(2).filter(|name| name.contains('_'));
    let names: Vec<&str> = names.filter(|name| !name.contains(['/', '.', ' ', '-'])).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(all.contains(&format!("fn {name}(")), "no test {name}");
    }
}
