//! Tests of manifests: which versions are read, and what they may tell.

use super::*;

fn edits() -> Edits {
    let mut edits = Edits::default();
    edits.root.file("etc/motd", 0o644, "hello");
    edits.root.file("etc/secret", 0o600, "word");
    edits.root.put(Member::directory("root", 0o700));
    edits.root.file("root/note", 0o644, "word");
    edits
}

#[test]
fn only_what_everyone_may_read_has_a_digest() {
    let files = files_of(&edits());
    let digests: Vec<(&str, bool)> =
        files.iter().map(|file| (file.path.as_str(), file.sha256.is_some())).collect();
    let expected = [
        ("/etc", false),
        ("/etc/motd", true),
        ("/etc/secret", false),
        ("/root", false),
        ("/root/note", false),
    ];
    assert_eq!(digests, expected);
}

#[test]
fn other_versions_are_refused() {
    assert!(parse(b"{}", 0).is_err());
    let manifest = Manifest {
        manifest: VERSION,
        tool: Tool { name: "remaster".into(), version: "1".into() },
        recipe_id: None,
        content_id: None,
        inputs: None,
        edits: Digest([0xab; 32]),
        base: BaseFacts {
            sha256: None,
            head_sha256: Digest([1; 32]),
            size: 1,
            volume: String::new(),
            release: String::new(),
        },
        size: 2,
        private: Some(true),
        source_date_epoch: None,
        signed_by: None,
        keys: Vec::new(),
        files: Vec::new(),
        blocks: None,
    };
    let text = serde_json::to_vec_pretty(&manifest).unwrap();
    assert_eq!(parse(&text, 0).unwrap(), manifest);
    let text = String::from_utf8(text).unwrap();
    let later = text.replace("\"manifest\": 3", "\"manifest\": 4");
    let fault = parse(later.as_bytes(), 0).unwrap_err().to_string();
    assert!(fault.contains("found version 4"), "{fault}");
    // What the first version called `recipe` was the content id.
    let first = text.replace("\"manifest\": 3", "\"manifest\": 1");
    let id = "ab".repeat(32);
    let first = first.replace("\"content_id\": null", &format!("\"recipe\": \"{id}\""));
    assert_eq!(parse(first.as_bytes(), 0).unwrap().content_id, Some(Digest([0xab; 32])));
    // A digest that cannot be compared would be a check that nobody makes.
    for field in ["edits", "head_sha256", "sha256", "recipe_id", "content_id", "inputs"] {
        let mut other: serde_json::Value = serde_json::from_str(&text).unwrap();
        let of_base = ["sha256", "head_sha256"].contains(&field);
        let part = if of_base { &mut other["base"] } else { &mut other };
        part[field] = "ab".into();
        let fault = parse(other.to_string().as_bytes(), 0).unwrap_err().to_string();
        assert!(fault.contains("64 hexadecimal digits"), "{field}: {fault}");
    }
}
