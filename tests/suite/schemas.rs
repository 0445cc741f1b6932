//! What programs get: the pages of events and of JSON documents are written from the sources, and what the program prints has
//! the fields that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Folder, SD, TINY, key};

/// A document: what it is called, how one gets it, the source that says what it has, and there the struct, or the line below
/// the comment that lists the fields. Structs that it names are looked for there first, then in [`SHARED`].
struct Document {
    title: &'static str,
    made_by: &'static str,
    source: &'static str,
    item: &'static str,
}

const fn document(
    title: &'static str,
    made_by: &'static str,
    source: &'static str,
    item: &'static str,
) -> Document {
    Document { title, made_by, source, item }
}

const DOCUMENTS: &[Document] = &[
    document(
        "An image",
        "`remaster inspect --json`; `--json-schema` prints its JSON Schema",
        "src/inspect/mod.rs",
        "pub struct Report",
    ),
    document("Differences", "`remaster diff --json`", "src/inspect/diff/mod.rs", "pub struct Diff"),
    document(
        "A manifest",
        "`--manifest FILE`, `--manifests`, and in every image",
        "src/stamp/manifest/mod.rs",
        "pub struct Manifest",
    ),
    document(
        "A descriptor",
        "`remaster stamp --as patch --descriptor`, beside each patch",
        "src/stamp/descriptor.rs",
        "pub struct Descriptor",
    ),
    document(
        "A line of a batch",
        "`remaster stamp --json`, a line per image",
        "src/cli/commands/stamp/reporter.rs",
        "    fn done(",
    ),
    document(
        "A failure of a batch",
        "`remaster stamp --json`, and `--failures FILE`; a batch that ends early has a last line with `not_done` alone",
        "src/cli/commands/stamp/reporter.rs",
        "    fn failed(",
    ),
    document("Bases", "`remaster base list --json`", "src/cli/commands/base.rs", "fn list("),
    document("A base", "`remaster base show --json`", "src/cli/commands/base.rs", "fn show("),
    document("Disks", "`remaster devices --json`", "src/cli/commands/devices.rs", "fn facts("),
    document(
        "Machines that were found",
        "`remaster find --json`",
        "src/cli/commands/find.rs",
        "fn event(",
    ),
    document(
        "An image that was tried",
        "`remaster try --json`",
        "src/cli/commands/try_image/mod.rs",
        "fn value(",
    ),
];

/// Where structs are that several documents have.
const SHARED: &[&str] = &[
    "src/inspect/diff/answers.rs",
    "src/inspect/diff/change.rs",
    "src/inspect/mod.rs",
    "src/image/check.rs",
    "src/stamp/injected_facts.rs",
    "src/stamp/manifest/blocks.rs",
    "src/bases/cache.rs",
    "src/target/disk.rs",
];

/// A field of a struct.
#[derive(Clone)]
struct Field {
    name: String,
    kind: String,
    said: String,
    /// Whether its fields stand in its place.
    is_flat: bool,
}

type Structs = BTreeMap<String, Vec<Field>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The structs of a file with their fields.
fn structs(text: &str) -> Structs {
    let (mut found, mut open, mut said, mut is_flat) = (Structs::new(), None, Vec::new(), false);
    found.extend(kinds(text));
    for line in text.lines() {
        let words = line.trim();
        if let Some(rest) = line.strip_prefix("pub struct ") {
            open = rest.strip_suffix(" {").map(str::to_owned);
            found.extend(open.clone().map(|name| (name, Vec::new())));
            said.clear();
        } else if line == "}" {
            open = None;
        } else if let Some(comment) = words.strip_prefix("///") {
            said.push(comment.trim().to_owned());
        } else if words.starts_with("#[") {
            is_flat |= words.contains("flatten");
        } else if let (Some(name), Some(field)) = (&open, words.strip_prefix("pub ")) {
            let (field, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
            let field = Field {
                name: field.trim_start_matches("r#").to_owned(),
                kind: kind.to_owned(),
                said: said.join(" "),
                is_flat,
            };
            found.get_mut(name).unwrap().push(field);
            said.clear();
            is_flat = false;
        } else {
            said.clear();
        }
    }
    found
}

/// Enums of which some words have fields of their own.
fn kinds(text: &str) -> Structs {
    let enums = text.split("\npub enum ").skip(1);
    let has_fields = |body: &&str| {
        body.split("\n}").next().unwrap().lines().skip(1).any(|line| line.ends_with(" {"))
    };
    let field = || Field {
        name: "*".to_owned(),
        kind: String::new(),
        said: "A word, or a word with fields of its own".to_owned(),
        is_flat: false,
    };
    let name = |body: &str| body.split(' ').next().unwrap().to_owned();
    enums.filter(has_fields).map(|body| (name(body), vec![field()])).collect()
}

/// A type without what is around it, and whether it is a list, or may be null.
fn bare(kind: &str) -> (&str, bool, bool) {
    let inner = |kind: &'static [&str], text: &'_ str| -> Option<usize> {
        kind.iter().find(|one| text.starts_with(**one)).map(|one| one.len())
    };
    if let Some(at) = inner(&["Option<"], kind) {
        let (of, is_list, _) = bare(&kind[at..kind.len() - 1]);
        return (of, is_list, true);
    }
    if let Some(at) = inner(&["Vec<", "BTreeSet<"], kind) {
        let (of, _, _) = bare(&kind[at..kind.len() - 1]);
        return (of, true, false);
    }
    (kind, false, false)
}

/// Adds the fields of a struct below a path, each with what is said of it.
fn expand(all: &Structs, name: &str, below: &str, rows: &mut Vec<(String, String)>) {
    let (name, of) =
        name.strip_suffix('>').and_then(|name| name.split_once('<')).unwrap_or((name, ""));
    let generic = format!("{name}<T>");
    for field in all.get(name).or_else(|| all.get(&generic)).unwrap() {
        let kind = field.kind.replace("<T>", &format!("<{of}>"));
        let kind = if kind == "T" { of.to_owned() } else { kind };
        let (kind, is_list, may_be_null) = bare(&kind);
        let path = format!("{below}{}{}", field.name, if is_list { "[]" } else { "" });
        let is_known = |name: &str| {
            all.contains_key(name.split('<').next().unwrap())
                || all.contains_key(&format!("{}<T>", name.split('<').next().unwrap()))
        };
        if field.is_flat {
            expand(all, kind, below, rows);
            continue;
        }
        let said = field.said.trim_end_matches('.');
        let is_version = ["[`SCHEMA`]", "[`VERSION`]"].contains(&said);
        let said = if is_version { "Version of this form" } else { said }.to_owned();
        let null = if may_be_null && !said.contains("null") { "; or null" } else { "" };
        rows.push((path.clone(), format!("{said}{null}")));
        if is_known(kind) && kind != name {
            expand(all, kind, &format!("{path}."), rows);
        }
    }
}

/// The fields that the comment above a line lists, and what it says before them.
fn listed(text: &str, item: &str) -> (String, Vec<(String, String)>) {
    let at = text.find(&format!("\n{item}")).unwrap_or_else(|| panic!("{item}"));
    let lines: Vec<&str> = text[..at].lines().rev().collect();
    let lines = lines.into_iter().map_while(|line| line.trim().strip_prefix("///"));
    let mut lines: Vec<&str> = lines.map(str::trim).collect();
    lines.reverse();
    let (rows, said): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.starts_with("- "));
    let row = |line: &str| {
        let (name, said) = line.strip_prefix("- `")?.split_once("`: ")?;
        Some((name.to_owned(), said.to_owned()))
    };
    (said.join(" "), rows.into_iter().filter_map(row).collect())
}

/// All fields of a document with what is said of them.
fn fields(document: &Document) -> Vec<(String, String)> {
    let own = source(document.source);
    let mut all = structs(&own);
    for path in SHARED {
        for (name, fields) in structs(&source(path)) {
            all.entry(name).or_insert(fields);
        }
    }
    let mut rows = Vec::new();
    if let Some(name) = document.item.strip_prefix("pub struct ") {
        expand(&all, name, "", &mut rows);
        return rows;
    }
    for (path, said) in listed(&own, document.item).1 {
        let of = said
            .split_once("[`")
            .and_then(|(_, of)| of.split_once("`]"))
            .map(|(of, _)| of.to_owned());
        rows.push((path.clone(), said.split(": [`").next().unwrap().to_owned()));
        if let Some(of) = of {
            expand(&all, &of, &format!("{path}."), &mut rows);
        }
    }
    rows
}

fn table(rows: &[(String, String)]) -> String {
    let said = |text: &str| text.replace('|', "\\|").replace("[`", "`").replace("`]", "`");
    let row = |(field, text): &(String, String)| format!("| `{field}` | {} |\n", said(text));
    format!("| field | |\n|---|---|\n{}", rows.iter().map(row).collect::<String>())
}

/// Holds a page to what it should be, or writes it.
fn is_current(path: &str, page: &str) {
    let path = root().join(path);
    if std::env::var_os("REMASTER_UPDATE").is_some() {
        fs::write(&path, page).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == page, "REMASTER_UPDATE=1 cargo test schemas");
}

#[test]
fn the_page_of_json_documents_is_what_the_sources_say() {
    let mut page = "# JSON documents\n\nWhat the program prints for other programs, field by field: `a[].b` is the field `b` of each of the list `a`. `flash`, `format`,\n`reset` and `verify` print [events](../events.md). Provenance and SBOM have the forms of in-toto, SLSA and CycloneDX\n([manifests](manifests.md)). A version (`schema`, `manifest`, `descriptor`, `v`) is raised when a field goes or changes its\nmeaning; a new field may come at any time. A test writes this page from the sources: `REMASTER_UPDATE=1 cargo test schemas`.\n".to_owned();
    for document in DOCUMENTS {
        let rows = table(&fields(document));
        page.extend(["\n## ", document.title, "\n\n", document.made_by, ".\n\n", &rows]);
    }
    is_current("docs/reference/schemas.md", &page);
}

/// The place of an event in the source, what is said of it, and its fields.
type Event = (usize, String, Vec<(String, String)>);

/// The events by name.
fn events() -> BTreeMap<String, Event> {
    let text = source("src/cli/events.rs");
    let names = text.lines().filter_map(|line| line.strip_prefix("pub(crate) const "));
    let names = names.filter_map(|line| line.split_once(": &str = \""));
    let named = names.enumerate().map(|(place, (item, name))| {
        let (said, mut rows) = listed(&text, &format!("pub(crate) const {item}: "));
        if rows.is_empty() {
            rows = listed(&text, "pub(crate) const BEGIN: ").1;
        }
        (name.trim_end_matches("\";").to_owned(), (place, said, rows))
    });
    named.collect()
}

#[test]
fn the_page_of_events_is_what_the_source_says() {
    let text = source("src/cli/events.rs");
    let first = text.lines().map_while(|line| line.strip_prefix("//!"));
    let first: Vec<&str> = first.map(str::trim).collect();
    let mut page = format!(
        "# Events\n\n{}\n\nA test writes this page from `src/cli/events.rs`: `REMASTER_UPDATE=1 cargo test schemas`.\n",
        first.join("\n")
    );
    let mut all: Vec<_> = events().into_iter().collect();
    all.sort_by_key(|(_, (place, ..))| *place);
    for (name, (_, said, rows)) in all {
        page.extend(["\n## `", &name, "`\n\n", &said, "\n\n", &table(&rows)]);
    }
    page += "\nWhat `exit` says is in [exit statuses](reference/exit-statuses.md).\n";
    is_current("docs/events.md", &page);
}

#[test]
fn the_page_of_exit_statuses_is_what_help_says() {
    let folder = Folder::new();
    let help = folder.program(&["--help"]).env("COLUMNS", "80").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, told) = help.split_once("Exit status:\n").unwrap();
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in told.lines() {
        match line.trim_start().split_once(' ').filter(|(status, _)| {
            status.parse::<u8>().is_ok() && line.starts_with("  ") && !line.starts_with("   ")
        }) {
            Some((status, said)) => rows.push((status.to_owned(), said.trim().to_owned())),
            None => rows.last_mut().unwrap().1.extend([" ", line.trim()]),
        }
    }
    let row = |(status, said): &(String, String)| format!("| {status} | {} |", said.trim());
    let rows = rows.iter().map(row).collect::<Vec<_>>().join("\n");
    let page = format!(
        "# Exit statuses\n\nWhat `remaster --help` says. A test writes this page: `REMASTER_UPDATE=1 cargo test schemas`.\n\n| status | meaning |\n|---|---|\n{rows}\n\nOf a batch that failed in part, `--json` and `--failures` say which users.\n\nThe first signal ends what is under way. Another one, or the same one again after a second, ends the program at once, and removes what\nis not finished. A signal that is ignored from the start, as by `nohup`, stays ignored.\n\n`ssh` ends with the status of ssh itself: that of the command, or 255 where it could not log in.\n"
    );
    is_current("docs/reference/exit-statuses.md", &page);
}

/// The paths of all fields of a value.
fn paths(value: &Value, below: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if below.is_empty() { name.clone() } else { format!("{below}.{name}") };
                if !value.is_array() {
                    found.insert(path.clone());
                }
                paths(value, &path, found);
            }
        }
        Value::Array(items) => {
            let path = format!("{below}[]");
            if !below.is_empty() {
                found.insert(path.clone());
            }
            for item in items {
                paths(item, &path, found);
            }
        }
        _ => {}
    }
}

/// What of a value is not among the fields of a document.
fn unknown(rows: &[(String, String)], value: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    paths(value, "", &mut found);
    let is_known = |path: &str| {
        rows.iter().any(|(known, said)| {
            known == path
                || known.starts_with(&format!("{path}.")) && !path.ends_with("[]")
                || known.starts_with(&format!("{path}[]"))
                || known.starts_with(&format!("{path}."))
                || known.strip_suffix(".*").is_some_and(|above| path.starts_with(above))
                // What is a table of its own kind, and said so.
                || said.contains("`count`, `of`, `names`") && path.starts_with(known.as_str())
                || said.contains("`cause`") && path.starts_with(known.as_str())
                || path.starts_with(&format!("{known}[]"))
        })
    };
    found.into_iter().filter(|path| !is_known(path)).collect()
}

/// A command, where the JSON is then, and the documents that it is, by title; an event is one by its name.
const PRINTED: &[(&str, &str, &[&str])] = &[
    ("inspect --json a.iso", "-", &["An image"]),
    ("inspect --json base.iso", "-", &["An image"]),
    ("inspect --json a.img", "-", &["An image"]),
    ("diff --json base.iso a.iso", "-", &["Differences"]),
    ("diff --json a.iso b.iso", "-", &["Differences"]),
    ("diff --json base.iso a.img", "-", &["Differences"]),
    ("inspect a.iso", "a.iso.manifest.json", &["A manifest"]),
    (
        "stamp base.iso users.toml --as patch --descriptor -o patches",
        "patches/alice.remaster.descriptor.json",
        &["A descriptor"],
    ),
    ("stamp a.iso users.toml --host-key generate --json -o images", "-", &["A line of a batch"]),
    ("stamp base.iso users.toml --as oci --json -o oci", "-", &["A line of a batch"]),
    (
        "stamp base.iso wrong.toml --json -o wrong",
        "-",
        &["A line of a batch", "A failure of a batch"],
    ),
    ("base list --json --cache cache", "-", &["Bases"]),
    ("devices --json", "-", &["Disks"]),
    (
        "flash a.iso --karg new=1 --key 2.pub --host-key generate --known-hosts kh --to-file t --json",
        "-",
        &[],
    ),
    ("flash a.iso --to-file u --json", "-", &[]),
    ("flash missing.iso --to-file u --json", "-", &[]),
    ("verify a.iso --json", "-", &[]),
    ("verify b.iso --against a.iso --json", "-", &[]),
    ("verify flipped --against a.iso --json", "-", &[]),
    ("reset a.iso -o r.iso --json", "-", &[]),
    ("format --to-file disk --json", "-", &[]),
];

#[test]
fn what_is_printed_has_the_fields_that_the_pages_name() {
    let folder = Folder::with_base(&TINY);
    folder.write("sd.img", &SD);
    folder.write("disk", &vec![0; 64 << 20]);
    folder.write("password", b"correct horse\n");
    folder.write("1.pub", key(1).as_bytes());
    folder.write("2.pub", key(2).as_bytes());
    folder.write(
        "users.toml",
        format!("[[user]]\nname = \"alice\"\nkey = \"{}\"\n", key(1).trim()).as_bytes(),
    );
    folder.write("wrong.toml", format!("[[user]]\nname = \"a\"\nkey = \"{}\"\n[[user]]\nname = \"b\"\nkey = \"{}\"\nlabel = \"x y\"\n", key(1).trim(), key(2).trim()).as_bytes());
    let rich = "--key 1.pub --hostname box --wifi net --wifi-password-file password --karg only=1 --entry boot-nomodeset --host-key generate -f";
    let run = |line: &str| folder.run(&line.split(' ').collect::<Vec<_>>());
    run(&format!("base.iso {rich} --manifest a.iso.manifest.json --manifest-digests -o a.iso"))
        .done();
    run("base.iso --key 2.pub --hostname other -o b.iso").done();
    run("sd.img --key 1.pub -o a.img").done();
    let mut flipped = folder.read("a.iso");
    let at = flipped.len() - 1;
    flipped[at] ^= 1;
    folder.write("flipped", &flipped);
    let (events, mut seen) = (events(), BTreeSet::new());
    for (line, place, titles) in PRINTED {
        let ended = run(line);
        let text = if *place == "-" {
            String::from_utf8(ended.out.clone()).unwrap()
        } else {
            String::from_utf8(folder.read(place)).unwrap()
        };
        let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let values: Vec<Value> = values
            .collect::<Result<_, _>>()
            .unwrap_or_else(|fault| panic!("{line}: {fault}: {text}"));
        assert!(!values.is_empty(), "{line}: {}", ended.err);
        for value in &values {
            let known: Vec<Vec<(String, String)>> = match value["event"].as_str() {
                Some(name) => {
                    seen.insert(name.to_owned());
                    let own = ["v", "event"].map(|name| (name.to_owned(), String::new()));
                    vec![events[name].2.iter().cloned().chain(own).collect()]
                }
                None => {
                    let all = DOCUMENTS.iter().filter(|one| titles.contains(&one.title));
                    all.map(fields).collect()
                }
            };
            let missing: Vec<Vec<String>> = known.iter().map(|rows| unknown(rows, value)).collect();
            assert!(missing.iter().any(Vec::is_empty), "{line}: {missing:#?}\n{value:#}");
        }
    }
    let missing: Vec<&String> = events.keys().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.iter().all(|name| ["progress"].contains(&name.as_str())), "{missing:?}");
}
