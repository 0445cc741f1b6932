//! Which module may use which. Planning knows no sink, writing knows no format, only `cli` speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Folder;

/// A row of the table of modules: a name, and the modules it may use.
struct Row {
    name: String,
    uses: Vec<String>,
}

/// The table of modules in `docs/architecture.md`. A name may only use names above it, so the table cannot
/// describe a circle.
fn table() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Row> = rows.map(row).collect();
    assert!(rows.len() > 20, "the table was not found");
    rows
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let first: Vec<String> = names(cells[0]);
    Row { name: first[0].clone(), uses: names(cells[2]) }
}

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

/// The lines of all sources that are not comments.
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
fn a_module_uses_only_modules_above_it_in_the_table() {
    let table = table();
    let mut faults = Vec::new();
    for Line { place, module, text } in lines() {
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(row) = table.iter().find(|row| row.name == module) else {
            faults.push(format!("{place}: {module} is not in the table of docs/architecture.md"));
            break;
        };
        for name in used(&text) {
            if name != module && !row.uses.contains(&name) {
                faults.push(format!("{place}: {module} may not use {name:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_circle_and_keeps_planning_and_output_apart() {
    let table = table();
    for (number, row) in table.iter().enumerate() {
        for used in &row.uses {
            let above = table[..number].iter().any(|other| other.name == *used);
            assert!(above, "{} stands above {used}", row.name);
        }
    }
    let uses = |module: &str, other: &str| {
        table.iter().any(|row| row.name == module && row.uses.iter().any(|used| used == other))
    };
    assert!(!uses("iso", "output") && !uses("disk", "output"));
    for thinking in ["formats", "boot", "iso", "disk", "live"] {
        assert!(!uses("output", thinking));
    }
    assert!(!table.iter().any(|row| uses(&row.name, "cli")));
}

#[test]
fn the_table_names_only_uses_that_exist() {
    let lines = lines();
    for row in table() {
        assert!(lines.iter().any(|line| line.module == row.name), "no module {}", row.name);
        for other in &row.uses {
            let used = |line: &Line| line.module == row.name && used(&line.text).contains(other);
            assert!(lines.iter().any(used), "{} does not use {other}", row.name);
        }
    }
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

/// The path of a file's module, as `stamp::batch` for `stamp/batch/mod.rs`.
fn module_of(file: &Path) -> String {
    let named = file.with_extension("");
    let parts: Vec<&str> = named.iter().map(|part| part.to_str().unwrap()).collect();
    let parts = parts.strip_suffix(&["mod"]).unwrap_or(&parts);
    parts.join("::")
}

/// The paths that a `use` names: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn leaves(text: &str) -> Vec<String> {
    let Some((head, body)) = text.split_once('{') else { return vec![text.trim().to_owned()] };
    let body = &body[..body.rfind('}').unwrap_or(body.len())];
    let mut depth = 0;
    let parts = body.split(|c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts.flat_map(leaves).map(|leaf| format!("{}{leaf}", head.trim())).collect()
}

/// The modules that a file uses, by its own `use` lines outside of tests. What it only passes on (`pub use`) is not used.
fn uses(module: &str, text: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let code = code.split("\n#[cfg(test)]").next().unwrap();
    let named = code.split("\nuse ").skip(1).filter_map(|rest| rest.split_once(';'));
    let mut found = BTreeSet::new();
    for leaf in named.flat_map(|(names, _)| leaves(names)) {
        let mut parts: Vec<&str> = leaf.split("::").map(str::trim).collect();
        let mut base: Vec<&str> = Vec::new();
        if ["super", "self"].contains(&parts[0]) {
            base = module.split("::").collect();
        }
        while parts[0] == "super" || parts[0] == "self" {
            if parts[0] == "super" {
                base.pop();
            }
            parts.remove(0);
        }
        if ["crate", "remaster"].contains(&parts[0]) {
            parts.remove(0);
        }
        let mut path: Vec<&str> = base.into_iter().chain(parts).collect();
        while !path.is_empty() && !known.contains(&path.join("::")) {
            path.pop();
        }
        found.insert(path.join("::"));
    }
    found.remove(module);
    found.remove("");
    found
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts: BTreeMap<String, String> = files(&source)
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs") && !path.ends_with("samples.rs"))
        .map(|path| {
            let module = module_of(path.strip_prefix(&source).unwrap());
            (module, fs::read_to_string(path).unwrap())
        })
        .collect();
    let known: BTreeSet<String> = texts.keys().cloned().collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> =
        texts.iter().map(|(module, text)| (module.clone(), uses(module, text, &known))).collect();
    assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 500, "the uses were not found");
    // What uses nothing that is left is in no circle.
    loop {
        let free: Vec<String> = graph
            .iter()
            .filter(|(_, uses)| uses.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        for name in &free {
            graph.remove(name);
            for uses in graph.values_mut() {
                uses.remove(name);
            }
        }
    }
    assert!(graph.is_empty(), "in a circle, or above one: {graph:#?}");
}

/// Words that look like flags of this program and are not, with the reason.
const NOT_OUR_FLAGS: [(&str, &str); 16] = [
    ("xz --check=crc32", "xz's"),
    (r#""-n", "--name", "-t", "--timeout""#, "of iPXE's command `kernel`"),
    (r#""-a", "--autofree""#, "of iPXE's command `kernel`"),
    ("--features fetch", "cargo's: how a program without that feature is built with it"),
    ("pkttyagent --process", "polkit's program"),
    ("--unit={unit} --speed={speed} --word=8 --parity=no --stop=1", "GRUB's command `serial`"),
    ("terminal_input --append", "GRUB's command"),
    ("terminal_output --append", "GRUB's command"),
    ("IN_TEXT: &str = \"--source\"", "of GRUB's command `menuentry`"),
    ("mount --move", "in a stage 1 that is a script"),
    ("nix-store --restore", "nix's"),
    ("agetty --reload", "util-linux's, in the live system"),
    ("zstd -d --long=31", "zstd's"),
    ("nix copy --to", "nix's"),
    ("without --sparse", "GNU tar's"),
    ("--command-line", "kexec's, in scripts of nixpkgs"),
];

/// Whether a line of the library has a flag of the program in it.
fn names_a_flag(line: &str) -> bool {
    let others = NOT_OUR_FLAGS.iter().fold(line.to_owned(), |line, (one, _)| line.replace(one, ""));
    let behind = others.split("--").skip(1);
    let mut flags = behind.filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let is_armour = |rest: &str| rest.starts_with("begin ");
    let short = others.contains("to -o");
    short || flags.any(|rest| !is_armour(rest) && !rest.starts_with("begin\""))
}

/// The names of the commands.
fn commands() -> Vec<String> {
    let help = Folder::new().run(&["--help"]).done();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    assert!(names.iter().any(|name| name == "flash"), "{help}");
    names
}

/// Whether a line tells to call a command. What magic numbers begin with is not a call: `b"remaster reset 1"`.
fn names_a_command(line: &str, commands: &[String]) -> bool {
    let calls = line.split("remaster ").zip(line.split("remaster ").skip(1));
    let mut calls = calls.filter(|(before, _)| !before.ends_with("b\""));
    calls.any(|(_, rest)| {
        let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
        word == "BASE" || word == "IMAGE" || commands.contains(&word)
    })
}

#[test]
fn the_library_knows_no_flags_of_the_program() {
    let commands = commands();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for path in files(&source) {
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
        if name.starts_with("cli/") || name.ends_with("tests.rs") || name == "main.rs" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]").next().unwrap();
        for (number, line) in (1..).zip(code.lines()) {
            if !line.trim_start().starts_with("//")
                && (names_a_flag(line) || names_a_command(line, &commands))
            {
                faults.push(format!("src/{name}:{number}: {}", line.trim()));
            }
        }
    }
    let help =
        "; say it by an `Advice`, which src/cli/diagnostics.rs has words for, or by `setting!`";
    assert!(faults.is_empty(), "{}{help}", faults.join("\n"));
}

#[test]
fn a_flag_in_the_library_is_seen_and_those_of_others_are_not() {
    for line in
        [r#""give --merge-initrd""#, r#""`--no-probe` writes it""#, r#""give a path to -o""#]
    {
        assert!(names_a_flag(line), "{line}");
    }
    let commands = commands();
    for line in [r#""see `remaster devices`""#, r#""URL | remaster flash - DEVICE""#] {
        assert!(names_a_command(line, &commands), "{line}");
    }
    for line in
        [r#"b"remaster flash 1""#, r#""a remaster patch""#, r#""the remaster that wrote it""#]
    {
        assert!(!names_a_command(line, &commands), "{line}");
    }
    for line in [r#""as with `nix copy --to ssh://x`""#, r#"("-----begin", KEY)"#, "a -- b"] {
        assert!(!names_a_flag(line), "{line}");
    }
}
