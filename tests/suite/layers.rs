//! Which module may use which. Planning knows no sink, writing knows no format, only `cli` speaks.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src/` and what it may use. A name may only use names above it, so the list cannot
/// describe a cycle.
const LAYERS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("keys", &[]),
    ("progress", &[]),
    ("error", &["keys"]),
    ("format", &["units", "error"]),
    ("journal", &["error"]),
    ("image", &["units", "error", "journal"]),
    ("file_type", &["units", "error", "format", "image"]),
    ("place", &["error"]),
    ("unpack", &["units", "error", "progress", "image", "file_type"]),
    ("bases", &["units", "error", "progress", "place"]),
    ("compose", &["units", "error", "image"]),
    ("scratch", &["units", "error", "image", "compose"]),
    ("survey", &["units", "error", "format", "image", "file_type", "scratch"]),
    ("edit", &["error", "format", "image"]),
    ("recipe", &["error"]),
    ("customize", &["units", "error", "keys", "format", "image", "survey", "edit", "recipe"]),
    ("plan", &["units", "error", "format", "image", "compose", "scratch", "survey", "edit"]),
    ("stamped", &["units", "error", "format", "image", "compose", "survey", "plan"]),
    ("raw", &["units", "error", "format", "image", "compose", "survey", "plan", "stamped"]),
    ("private", &["error", "edit", "format", "image", "plan", "raw", "stamped", "survey"]),
    (
        "replaced",
        &[
            "units",
            "error",
            "keys",
            "format",
            "image",
            "survey",
            "edit",
            "customize",
            "plan",
            "stamped",
            "raw",
        ],
    ),
    ("digest", &["units", "error", "progress", "image"]),
    ("patch", &["units", "error", "format", "image", "compose", "stamped", "digest"]),
    ("sign", &["error"]),
    (
        "manifest",
        &[
            "units", "keys", "progress", "error", "format", "image", "compose", "survey", "edit",
            "plan", "stamped", "raw", "digest", "sign",
        ],
    ),
    ("identity", &["units", "error", "format", "image", "file_type", "survey", "manifest"]),
    ("sink", &["units", "error", "progress", "journal", "image", "place", "compose"]),
    (
        "verify",
        &[
            "units", "error", "format", "image", "compose", "scratch", "survey", "edit", "plan",
            "stamped", "raw",
        ],
    ),
    (
        "basis",
        &[
            "error",
            "image",
            "compose",
            "survey",
            "customize",
            "stamped",
            "raw",
            "replaced",
            "manifest",
            "verify",
        ],
    ),
    (
        "netboot",
        &[
            "units", "error", "format", "image", "compose", "scratch", "survey", "edit", "plan",
            "stamped", "private",
        ],
    ),
    ("oci", &["units", "error", "image", "compose", "stamped", "digest", "sink"]),
    (
        "batch",
        &[
            "units",
            "progress",
            "error",
            "format",
            "image",
            "place",
            "compose",
            "survey",
            "recipe",
            "customize",
            "plan",
            "stamped",
            "replaced",
            "digest",
            "patch",
            "manifest",
            "sink",
            "verify",
            "oci",
        ],
    ),
    (
        "inspect",
        &[
            "units",
            "error",
            "keys",
            "format",
            "image",
            "survey",
            "edit",
            "customize",
            "plan",
            "stamped",
            "raw",
            "private",
        ],
    ),
    ("diff", &["units", "error", "format", "image", "survey", "stamped", "raw", "inspect"]),
    ("device", &["units", "error", "place"]),
    (
        "flash",
        &[
            "units",
            "error",
            "progress",
            "format",
            "journal",
            "image",
            "file_type",
            "digest",
            "unpack",
            "device",
        ],
    ),
    ("find", &["error"]),
    // The program's: it sees the public library, as `remaster::…`.
    ("cli", &[]),
];

/// What writes to the user or ends the program.
const SPEECH: [&str; 9] = [
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
    "io::stdout",
    "io::stderr",
    "process::exit",
    "process::abort",
];

struct Line {
    place: String,
    module: String,
    text: String,
}

/// The lines of all sources that are no comments.
fn lines() -> Vec<Line> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&source) {
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
        let module = name.split(['/', '.']).next().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"));
        found.extend(code.map(|(number, line)| Line {
            place: format!("src/{name}:{number}"),
            module: module.clone(),
            text: line.to_owned(),
        }));
    }
    assert!(found.len() > 1000, "the sources were not found");
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules that a line names by `crate::`. `crate::Error` and `crate::Result` are `error`'s.
fn used(text: &str) -> Vec<String> {
    let rest = text.split("crate::").skip(1);
    rest.map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        match &rest[..end] {
            "Error" | "Result" => "error".to_owned(),
            name => name.to_owned(),
        }
    })
    .collect()
}

#[test]
fn a_module_uses_only_what_lies_below_it() {
    let mut faults = Vec::new();
    for Line { place, module, text } in lines() {
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{place}: {module} is not in the table of tests/suite/layers.rs"));
            break;
        };
        for name in used(&text) {
            if name != module && !allowed.contains(&name.as_str()) {
                faults.push(format!("{place}: {module} may not use {name:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_describes_no_cycle_and_keeps_planning_and_writing_apart() {
    for (number, (name, uses)) in LAYERS.iter().enumerate() {
        let above: Vec<&str> = LAYERS[..number].iter().map(|(name, _)| *name).collect();
        for used in *uses {
            assert!(above.contains(used), "{name} stands above {used}");
        }
    }
    let uses = |module: &str, other: &str| {
        LAYERS.iter().any(|(name, uses)| *name == module && uses.contains(&other))
    };
    assert!(!uses("plan", "sink"));
    for thinking in ["format", "survey", "plan"] {
        assert!(!uses("sink", thinking));
    }
    assert!(!LAYERS.iter().any(|(name, _)| uses(name, "cli")));
}

#[test]
fn nothing_but_the_command_line_speaks() {
    let silent = lines().into_iter().filter(|line| line.module != "cli");
    let faults: Vec<String> = silent
        .filter(|line| SPEECH.iter().any(|speech| line.text.contains(speech)))
        .map(|line| format!("{}: {}", line.place, line.text.trim()))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_program_is_nothing_but_the_command_line() {
    let main: Vec<Line> = lines().into_iter().filter(|line| line.module == "main").collect();
    assert!(main.len() < 10 && main.iter().any(|line| line.text.contains("cli::main()")));
}

#[test]
fn the_tree_in_the_readme_is_the_tree() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(top.join("README.md")).unwrap();
    let tree = readme.split("```text").nth(1).unwrap().split("```").next().unwrap();
    let words: Vec<&str> = tree.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for path in files(&top.join("src")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let hidden =
            ["mod", "samples", "tests"].contains(&name) || path.parent().unwrap().ends_with("keys");
        assert!(hidden || words.contains(&name), "README.md does not show {}", path.display());
    }
}
