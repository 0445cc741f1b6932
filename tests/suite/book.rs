//! README and book: every link leads somewhere, every page is in the summary, every command runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use remaster::recipe::edits::InjectMethod;
use ssh_key::LineEnding;

use crate::support::{Folder, SD, TINY, edits, key, pair, stamp};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and all pages below `docs` and `.github`.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut folders = vec![root().join("docs"), root().join(".github")];
    let mut found = BTreeMap::from([(root().join("README.md"), String::new())]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.insert(path, String::new());
            }
        }
    }
    for (path, text) in &mut found {
        *text = fs::read_to_string(path).unwrap();
    }
    assert!(found.len() > 20, "the book was not found");
    found
}

/// The targets of the links of a text: what stands in `](…)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_of_the_book_leads_somewhere() {
    let pages = pages();
    for (path, text) in &pages {
        for link in links(text).filter(|link| !link.contains("://")) {
            let (file, name) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let target = target.canonicalize();
            let target =
                target.unwrap_or_else(|_| panic!("{}: {link} does not exist", path.display()));
            if !name.is_empty() {
                let text = fs::read_to_string(target).unwrap();
                let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
                let is_there =
                    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == name);
                assert!(is_there, "{}: {link} has no such heading", path.display());
            }
        }
    }
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> =
        links(&summary).map(|link| root().join("docs").join(link)).collect();
    let docs = root().join("docs");
    let is_page = |path: &&PathBuf| path.starts_with(&docs) && !path.ends_with("SUMMARY.md");
    let all: BTreeSet<PathBuf> = pages().keys().filter(is_page).cloned().collect();
    assert_eq!(listed, all);
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(text.lines().count() <= 120, "{} lines", text.lines().count());
}

/// The lines of blocks that are marked as `sh`, those that are continued joined.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in blocks(text, "sh") {
        let block = block.replace("\\\n", " ");
        let lines = block.lines().map(|line| line.split("  #").next().unwrap().trim());
        let is_run = |line: &&str| line.starts_with("remaster") || line.starts_with("mkdir -p ~/");
        found.extend(lines.filter(is_run).map(str::to_owned));
    }
    found
}

/// A folder with all files that the book speaks of, which is the home of whoever runs its commands.
fn at_home() -> Folder {
    let folder = Folder::with_base(&TINY);
    for name in [".ssh", "overlay/etc", ".cache/remaster/bases"] {
        fs::create_dir_all(folder.at(name)).unwrap();
    }
    let line = |number: u8| format!("{}\n", key(number)).into_bytes();
    folder.write(".ssh/id_ed25519.pub", &line(1));
    folder.write("alice.pub", &line(2));
    folder.write("bob.pub", &line(3));
    folder.write("signer", pair(4).to_openssh(LineEnding::LF).unwrap().as_bytes());
    folder.write("allowed_signers", format!("alice {}\n", key(4)).as_bytes());
    folder.write("sd.img", &SD);
    folder.write("sd.img.zst", &zstd::encode_all(SD.as_slice(), 1).unwrap());
    let sha256 = remaster::Digest::of_bytes(&TINY);
    folder.write("base.iso.sha256", format!("{sha256}  base.iso\n").as_bytes());
    folder.write("overlay/etc/hello", b"hello\n");
    folder.write("notes.txt", b"hello\n");
    for name in ["check-disks.sh", "first-boot.sh"] {
        folder.write(name, b"#!/bin/sh\ntrue\n");
    }
    folder.write("wifi.txt", b"passphrase one\n");
    folder.write("office.txt", b"passphrase two\n");
    for name in ["wg0.nmconnection", "office.nmconnection"] {
        folder.write(name, b"[connection]\nid=x\n");
    }
    folder.write("installer.toml", b"key = [\"alice.pub\"]\nhostname = \"install\"\n");
    let rack = fs::read_to_string(root().join("docs/how-to/rack.md")).unwrap();
    folder.write("rack.toml", blocks(&rack, "toml")[0].as_bytes());
    folder.write("users.toml", b"[[user]]\nname = \"alice\"\nkey = [\"alice.pub\"]\n\n[[user]]\nname = \"bob\"\nkey = [\"bob.pub\"]\n");
    folder.write("users.csv", b"name,key\nalice,alice.pub\n");
    folder.write("users.jsonl", b"{\"name\": \"alice\", \"key\": [\"alice.pub\"]}\n");
    fs::File::create(folder.at("large.img")).unwrap().set_len(64 << 20).unwrap();
    cached(&folder, &sha256.to_string());
    folder
}

/// Puts a base into the cache, as if it had been fetched.
fn cached(folder: &Folder, sha256: &str) {
    let name = "nixos-25.11-minimal";
    folder.write(".cache/remaster/bases/x.iso", &TINY);
    let record = serde_json::json!({
        "name": name, "version": "25.11.12484.b6018f87da91", "url": "https://example.org/x.iso",
        "sha256": sha256, "size": TINY.len(), "file": "x.iso",
    });
    folder.write(&format!(".cache/remaster/bases/{name}.json"), record.to_string().as_bytes());
}

/// The command with a file in place of the disk. No test writes to a disk by its name.
fn with_a_file(command: &str) -> String {
    if !command.contains("/dev/sd") {
        return command.to_owned();
    }
    let stick = match command.split(' ').nth(1) {
        Some("flash") => "--to-file stick.img",
        Some("reset") => "--in-place stick.img",
        Some("format") => "--to-file large.img",
        _ => "stick.img",
    };
    command.replace("/dev/sdc", stick)
}

#[test]
fn every_command_of_the_book_runs() {
    let program = Path::new(env!("CARGO_BIN_EXE_remaster")).parent().unwrap().to_owned();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let (mut run, mut failed) = (0, Vec::new());
    for (page, text) in pages() {
        let folder = at_home();
        if !text.contains("-o custom.iso") {
            folder.write("custom.iso", &stamp(&TINY, &edits(1, InjectMethod::ExtraInitrd)));
        }
        let mut made = BTreeSet::new();
        for command in commands(&text) {
            let command = with_a_file(&command);
            assert!(!command.contains("/dev/"), "{command}");
            // A page may show a command twice.
            if !made.insert(command.clone()) {
                continue;
            }
            let mut shell = Command::new("sh");
            shell.args(["-c", &command]).current_dir(folder.path()).stdin(Stdio::null());
            shell.env_clear().env("PATH", &path).env("HOME", folder.path());
            let ended = shell.output().unwrap();
            let told = String::from_utf8_lossy(&ended.stderr).into_owned();
            if !ended.status.success() {
                failed.push(format!("{}: {command}\n{told}", page.display()));
            }
            run += 1;
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(run > 40, "only {run} commands were found");
}

/// The commands in blocks without a mark: they want a machine, a network or a result of Nix.
fn commands_to_parse(text: &str) -> Vec<Vec<String>> {
    let (mut found, mut inside, mut unmarked) = (Vec::new(), false, false);
    for line in text.replace("\\\n", " ").lines() {
        if let Some(mark) = line.strip_prefix("```") {
            (inside, unmarked) = (!inside, !inside && mark.is_empty());
        } else if unmarked && let Some(at) = line.find("remaster ") {
            let is_command = ["", "$ ", "  "].contains(&&line[..at]);
            let line = line[at..].split(" || ").next().unwrap_or_default();
            found.extend(
                is_command.then(|| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
            );
        }
    }
    found
}

#[test]
fn every_command_of_the_book_that_is_not_run_is_parsed() {
    let folder = at_home();
    let mut parsed = 0;
    for (page, text) in pages() {
        for mut words in commands_to_parse(&text) {
            // Behind its image, `ssh` takes whatever the machine is to run.
            if words[1] == "ssh" && words.get(3).is_some_and(|word| !word.starts_with("--")) {
                words.truncate(3);
            }
            // Help comes last: what is wrong before it is refused first.
            words.push("--help".into());
            let ended = folder.run(&words.iter().skip(1).map(String::as_str).collect::<Vec<_>>());
            assert_eq!(ended.status, 0, "{}: {words:?}: {}", page.display(), ended.err);
            parsed += 1;
        }
    }
    assert!(parsed > 10, "only {parsed} were found");
}

/// What differs from machine to machine and from key to key, as one word each.
fn masked(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = line.split(" SHA256:").next().unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let of = |place: usize| {
            let word = words[place].trim_start_matches('(');
            let unit = words.get(place + 1).map(|unit| unit.trim_end_matches([')', ',', ';']));
            let is_size = unit.is_some_and(|unit| ["B", "KiB", "MiB", "GiB"].contains(&unit));
            if is_size && word.parse::<f64>().is_ok() { "N" } else { words[place] }
        };
        lines.push((0..words.len()).map(of).collect::<Vec<_>>().join(" ").replace("GiB", "MiB"));
    }
    lines.join("\n")
}

#[test]
fn the_tutorial_shows_what_is_printed() {
    let tutorial = fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let folder = at_home();
    let mut shown = 0;
    for part in tutorial.split("\n```sh\n").skip(1) {
        let (block, behind) = part.split_once("\n```\n").unwrap();
        let command = with_a_file(block.trim());
        let words: Vec<String> = command
            .split_whitespace()
            .skip(1)
            .map(|word| word.replacen('~', folder.path().to_str().unwrap(), 1))
            .collect();
        let mut program = folder.program(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let ended = program.env("HOME", folder.path()).output().unwrap();
        let Some(text) = behind.strip_prefix("\n```text\n") else { continue };
        let (text, _) = text.split_once("\n```").unwrap();
        let said = [ended.stderr, ended.stdout].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(masked(said.trim_end()), masked(text), "{command}:\n{said}");
        shown += 1;
    }
    assert!(shown > 1, "only {shown} are shown");
}

#[test]
fn the_readme_begins_with_what_is_printed() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let block: Vec<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("    "))
        .map_while(|line| line.strip_prefix("    "))
        .collect();
    let folder = at_home();
    folder.write("nixos-minimal-25.11-x86_64-linux.iso", &TINY);
    let mut shown = 0;
    for part in block.join("\n").split("$ ").filter(|part| part.starts_with("remaster ")) {
        let (command, text) = part.split_once('\n').unwrap();
        let command = with_a_file(command).replacen('~', folder.path().to_str().unwrap(), 1);
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let ended = folder.run(&words);
        assert_eq!(ended.status, 0, "{command}: {}", ended.err);
        if !text.is_empty() {
            assert_eq!(masked(ended.err.trim_end()), masked(text.trim_end()), "{command}");
            shown += 1;
        }
    }
    assert_eq!(shown, 1, "the README shows what its first command prints");
}

/// The blocks of a text that are marked as something.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("\n```{kind}\n");
    text.split(begin.as_str()).skip(1).filter_map(|block| block.split("\n```").next()).collect()
}

#[test]
fn every_recipe_and_users_file_of_the_book_is_taken() {
    let mut taken = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "toml") {
            let folder = at_home();
            folder.write("given.toml", block.as_bytes());
            let arguments: &[&str] = if block.contains("[[user]]") {
                &["stamp", "base.iso", "given.toml", "-o", "out"]
            } else {
                &["recipe", "check", "given.toml"]
            };
            let ended = folder.run(arguments);
            assert_eq!(ended.status, 0, "{}: {}", page.display(), ended.err);
            taken += 1;
        }
    }
    assert!(taken > 1, "only {taken} were found");
}

/// The names of the commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = commands.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// What `--help` says of a command and of those below it.
fn help_of(folder: &Folder, command: &[&str], page: &mut String) {
    let arguments = [command, &["--help"]].concat();
    let help = folder.program(&arguments).env("COLUMNS", "80").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let title = ["remaster"].iter().chain(command).copied().collect::<Vec<_>>().join(" ");
    let lines: Vec<&str> = help.trim().lines().map(str::trim_end).collect();
    page.push_str(&["\n## ", &title, "\n\n```text\n", &lines.join("\n"), "\n```\n"].concat());
    for name in listed(&help) {
        help_of(folder, &[command, &[&name]].concat(), page);
    }
}

/// The files below a folder of the sources, each with its path there.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut folders = vec![root().join(folder)];
    let mut found = BTreeMap::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root().join(folder)).unwrap().with_extension("");
                found.insert(name.display().to_string(), fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// What the first comment of a source file says.
fn said_first(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_page_of_formats_is_what_the_readers_say() {
    let mut page = "# On-disk formats\n\nWhat is read and written, and the clauses that it follows. A test writes this page from the first comments in\n`src/formats`: `REMASTER_UPDATE=1 cargo test book`.\n".to_owned();
    for (name, source) in sources("src/formats").iter().filter(|(name, _)| *name != "mod") {
        let title = name.trim_end_matches("/mod").replace('/', ": ").replace('_', " ");
        page.push_str(&["\n## ", &title, "\n\n", &said_first(source)].concat());
    }
    assert!(page.contains("ECMA-119") && page.contains("remaster undo 1"), "{page}");
    let path = root().join("docs/reference/formats.md");
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "REMASTER_UPDATE=1 cargo test book");
}

#[test]
fn the_page_of_commands_is_what_help_says() {
    let mut page = "# Commands\n\nWhat `--help` says. A test writes this page: `REMASTER_UPDATE=1 cargo test book`.\n".to_owned();
    help_of(&Folder::new(), &[], &mut page);
    let path = root().join("docs/reference/commands.md");
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "REMASTER_UPDATE=1 cargo test book");
}

/// What a value of the schema is, in a word.
fn kind(schema: &serde_json::Value) -> &'static str {
    let is = |what: &str| schema["type"] == what || schema["type"][0] == what;
    match &schema["anyOf"][0] {
        of if of["type"] == "string" => "text, or a list of texts",
        of if of["$ref"].is_string() => "a word",
        _ if is("boolean") => "true or false",
        _ if is("integer") => "a number",
        _ if is("array") => "tables",
        _ => "text",
    }
}

/// A row per key of a table, with the words that the schema has for it.
fn rows(table: &serde_json::Value, defs: &serde_json::Value) -> String {
    let mut rows = "| key | value | |\n|---|---|---|\n".to_owned();
    for (key, schema) in table["properties"].as_object().unwrap() {
        let said = schema["description"].as_str().unwrap_or_default();
        let said = said.replace("\n\n", ". ").replace('\n', " ").replace("..", ".");
        let of = schema["anyOf"][0]["$ref"].as_str().and_then(|of| of.rsplit('/').next());
        let words = of.map_or_else(String::new, |of| words(&defs[of]));
        let (kind, said) = (kind(schema), said.replace('|', "\\|"));
        rows.extend(["| `", key, "` | ", kind, " | ", &said, &words, " |\n"]);
    }
    rows
}

/// The words that a key may have, each with its meaning.
fn words(schema: &serde_json::Value) -> String {
    let words = schema["oneOf"].as_array().unwrap().iter();
    let said = |of: &serde_json::Value| {
        format!(" `{}`: {}.", of["const"].as_str().unwrap(), of["description"].as_str().unwrap())
    };
    words.map(said).collect()
}

#[test]
fn the_page_of_recipe_keys_is_the_schema() {
    let schema = Folder::new().run(&["recipe", "schema"]).out;
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
    let defs = &schema["$defs"];
    let mut page = "# Recipe keys, all of them\n\nWhat `remaster recipe schema` has, which an editor reads for completions and checks. A test writes this page:\n`REMASTER_UPDATE=1 cargo test book`. [Recipe keys and flags](recipe.md) says what they mean together.\n\n".to_owned();
    page += &rows(&schema, defs);
    page += "\n## In a `[[machine]]` table\n\n";
    page += &rows(&defs["Machine"], defs);
    let path = root().join("docs/reference/keys.md");
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "REMASTER_UPDATE=1 cargo test book");
}
