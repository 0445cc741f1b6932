//! What the library shows to other programs: a snapshot, so that nothing comes or goes unseen. `REMASTER_UPDATE=1` records it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const SNAPSHOT: &str = "tests/suite/front_door.txt";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file of a path below `src`, as `stamp::base_image::BaseImage` is in `stamp/base_image.rs`.
fn file_of(path: &str) -> PathBuf {
    let (module, _) = path.rsplit_once("::").unwrap();
    let below = root().join("src").join(module.replace("::", "/"));
    let file = below.with_extension("rs");
    if file.exists() { file } else { below.join("mod.rs") }
}

/// The texts of a file and of those beside it, which may add to its types.
fn beside(file: &Path) -> Vec<String> {
    let found = fs::read_dir(file.parent().unwrap()).unwrap();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The items that `lib.rs` names with `pub use`, by their paths.
fn named(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("pub use ")?.strip_suffix(';'));
    let each = |line: &str| match line.split_once("::{") {
        Some((module, names)) => {
            let names = names.trim_end_matches('}').split(", ");
            names.map(|name| format!("{module}::{name}")).collect()
        }
        None => vec![line.to_owned()],
    };
    lines.flat_map(each).collect()
}

/// The public functions of a type in a file, one line each.
fn functions(text: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_within = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("impl") {
            let of = line.split(" for ").last().unwrap();
            is_within = of.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
        }
        if !is_within || !line.starts_with("    pub fn ") {
            continue;
        }
        let mut whole = line.trim().to_owned();
        while !whole.ends_with('{') {
            write!(whole, " {}", lines.next().unwrap().trim()).unwrap();
        }
        found.push(whole.trim_end_matches(" {").replace("( ", "(").replace(", )", ")"));
    }
    found
}

fn shown() -> String {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut text = String::new();
    for path in named(&lib) {
        writeln!(text, "{path}").unwrap();
        let name = path.rsplit("::").next().unwrap();
        let functions = beside(&file_of(&path)).into_iter().flat_map(|file| functions(&file, name));
        functions.for_each(|line| writeln!(text, "    {line}").unwrap());
    }
    let modules: Vec<&str> = lib.lines().filter(|line| line.starts_with("pub mod ")).collect();
    let hidden = lib.matches("#[doc(hidden)]\npub mod ").count();
    writeln!(text, "{} modules, {hidden} of them hidden", modules.len()).unwrap();
    text
}

#[test]
fn the_front_door_of_the_library_is_the_recorded_one() {
    let (path, found) = (root().join(SNAPSHOT), shown());
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (found, recorded) = (lines(&found), lines(&recorded));
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let (new, gone) = (only(&found, &recorded), only(&recorded, &found));
    assert!(
        found == recorded,
        "new: {new:#?}\ngone: {gone:#?}\nrecord it with REMASTER_UPDATE=1 if it is meant"
    );
}
