//! What arguments of every kind come to: keys and notes, or one fault with its place and hint.

use std::fs;

use super::*;

const ONE: ArgumentPlace = ArgumentPlace::Number(1);

const NO_INPUT: &[u8] = b"";

fn take(arguments: &[&str], stdin: &[u8]) -> Result<Gathered, KeyError> {
    let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
    gather(&arguments, stdin)
}

fn fault(arguments: &[&str], stdin: &[u8]) -> (String, String) {
    let fault = take(arguments, stdin).unwrap_err();
    (fault.to_string(), fault.hint().unwrap_or_default())
}

fn notes(text: &str) -> Vec<String> {
    parse("keys", text.as_bytes()).unwrap().notes.iter().map(ToString::to_string).collect()
}

/// A directory with files in it, and the path of a name in it.
struct Desk(tempfile::TempDir);

impl Desk {
    fn with(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(desk.path(name), text).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

fn private_key() -> String {
    ["-----BEGIN OPENSSH PRIVATE ", "KEY-----\nc2VjcmV0\n"].concat()
}

#[test]
fn keys_come_from_files_standard_input_and_arguments_in_order() {
    let file = format!("# two\r\n{}\r\n\r\n{}\r\n", samples::ED25519, samples::P256);
    let desk = Desk::with(&[("keys", &file)]);
    let stdin = format!("{}\n", samples::P384);
    let gathered = take(&[&desk.path("keys"), "-", samples::P521], stdin.as_bytes()).unwrap();
    let expected =
        [samples::ED25519, samples::P256, samples::P384, samples::P521].join("\n") + "\n";
    assert_eq!((gathered.keys.to_text(), gathered.notes), (expected, vec![]));
}

#[test]
fn what_was_written_reads_back_as_the_same_keys() {
    let text = format!("no-pty\t{}  \n{}\n", samples::ED25519, samples::P256_CERTIFICATE);
    let keys = parse("keys", text.as_bytes()).unwrap().keys;
    assert_eq!(parse("again", keys.to_text().as_bytes()).unwrap().keys, keys);
}

#[test]
fn an_argument_may_hold_several_lines_or_a_key_behind_options() {
    let lines = format!("# both\n{}\n{}\n", samples::ED25519, samples::P256);
    assert_eq!(take(&[&lines], NO_INPUT).unwrap().keys.len(), 2);
    let limited = format!("  command=\"bash -l\" {}", samples::ED25519);
    assert_eq!(take(&[&limited], NO_INPUT).unwrap().keys.len(), 1);
    assert_eq!(take(&[&format!("\u{feff}{}\r\n", samples::P256)], NO_INPUT).unwrap().keys.len(), 1);
}

#[test]
fn an_existing_file_wins_over_a_key() {
    assert_eq!(Source::parse("-", &ONE).unwrap(), Source::StandardInput);
    let desk = Desk::with(&[("ssh-ed25519 AAAA", samples::ED25519)]);
    let path = desk.path("ssh-ed25519 AAAA");
    assert_eq!(Source::parse(&path, &ONE).unwrap(), Source::File(path.into()));
    let key = samples::ED25519;
    assert_eq!(Source::parse(key, &ONE).unwrap(), Source::Literal(key.to_owned()));
}

#[test]
fn a_bad_line_is_named_by_file_and_line() {
    let desk = Desk::with(&[("keys", &format!("# one\n\n{}\nssh-ed25519 AAAA\n", samples::P256))]);
    let path = desk.path("keys");
    let (message, _) = fault(&[&path], NO_INPUT);
    assert_eq!(
        message,
        format!("{path} line 4: the key is cut off or damaged, expected ssh-ed25519")
    );
    let (message, _) = fault(&["-"], b"\nssh-foo AAAA\n");
    assert!(message.starts_with("standard input line 2: found ssh-foo, expected a key type"));
    let (message, _) = fault(&[samples::P256, samples::RSA_1024], NO_INPUT);
    assert!(
        message.starts_with("key argument 2 line 1: found an RSA key of 1024 bits"),
        "{message}"
    );
    let (message, hint) = fault(&["ssh-ed25519"], NO_INPUT);
    assert_eq!(
        message,
        "key argument 1 line 1: found ssh-ed25519 alone, expected base64 data behind it"
    );
    assert_eq!(hint, "put the whole line in one pair of quotes");
}

#[test]
fn a_private_key_is_refused_from_everywhere_and_not_echoed() {
    let key = private_key();
    let desk = Desk::with(&[("id", &key), ("id.txt", &format!("\u{feff} \r\n{key}"))]);
    let rows = [
        (desk.path("id"), format!("{} line 1", desk.path("id"))),
        (desk.path("id.txt"), format!("{} line 2", desk.path("id.txt"))),
        ("-".to_owned(), "standard input line 1".to_owned()),
        (key.clone(), "key argument 1 line 1".to_owned()),
    ];
    for (argument, place) in rows {
        let (message, hint) = fault(&[&argument], key.as_bytes());
        let expected = format!("{place}: found a private key (OpenSSH), expected a public one");
        assert_eq!(message, expected);
        assert!(
            hint.starts_with("give the public key, usually the file ending in .pub: "),
            "{hint}"
        );
    }
    let debug = format!("{:?}", take(&[&key], NO_INPUT));
    assert!(!debug.contains("c2VjcmV0"), "{debug}");
}

#[test]
fn the_public_key_beside_a_private_one_is_hinted_at() {
    let desk = Desk::with(&[("id_ed25519", &private_key()), ("id_ed25519.pub", samples::ED25519)]);
    let (_, hint) = fault(&[&desk.path("id_ed25519")], NO_INPUT);
    assert_eq!(hint, format!("give {} instead", desk.path("id_ed25519.pub")));
}

#[test]
fn other_formats_come_with_the_way_to_convert_them() {
    let text = "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n";
    for argument in ["-", text] {
        assert_eq!(
            fault(&[argument], text.as_bytes()).1,
            "convert it: ssh-keygen -i -f FILE > FILE.pub"
        );
    }
}

#[test]
fn a_recipe_that_begins_with_a_setting_of_ssh_is_not_a_key() {
    assert!(is_public(b"ssh-ed25519 AAAA=") && is_public(b"ssh-ed25519"));
    assert!(!is_public(b"ssh-passwords = true\n") && !is_public(b"ssh-passwords=true\n"));
}

#[test]
fn what_is_neither_file_nor_key_is_said_to_be_neither() {
    let rows = [
        (
            "id_ed25519.pbu",
            "'id_ed25519.pbu' is neither an existing file nor a public key",
            "check the path",
        ),
        ("~/.ssh/id.pub", "'~/.ssh/id.pub' is neither", "write the path in full"),
        ("", "key argument 1: it is empty", "give a .pub file"),
        ("/etc/passwd/key", "'/etc/passwd/key' is neither", "check the path"),
        ("a\nb", "key argument 1 (3 characters) is neither", "check the path"),
        ("a\0b", "key argument 1 (3 characters) is neither", "check the path"),
        (&"x.".repeat(150), "key argument 1 (300 characters) is neither", "check the path"),
        (&"x".repeat(40), "key argument 1 (40 characters) is neither", "check the path"),
    ];
    for (argument, expected, expected_hint) in rows {
        let (message, hint) = fault(&[argument], NO_INPUT);
        assert!(message.starts_with(expected), "{message}");
        assert!(hint.starts_with(expected_hint), "{hint}");
    }
}

#[test]
fn a_directory_is_called_one() {
    let desk = Desk::with(&[]);
    let (message, hint) = fault(&[&desk.path("")], NO_INPUT);
    assert!(message.ends_with("is a folder, not a file of public keys"), "{message}");
    assert_eq!(hint, "name the .pub file in it");
}

#[test]
fn standard_input_is_read_once() {
    let (message, _) = fault(&["-", samples::P256, "-"], samples::ED25519.as_bytes());
    assert_eq!(message, "standard input (-) is named twice, expected once");
}

#[test]
fn a_source_without_any_key_is_refused() {
    let desk = Desk::with(&[("none", "# nothing\n\n")]);
    let (message, _) = fault(&[samples::P256, &desk.path("none")], NO_INPUT);
    assert_eq!(message, format!("{}: found no key, expected at least one", desk.path("none")));
    assert_eq!(fault(&["-"], b"").0, "standard input: found no key, expected at least one");
    assert_eq!(fault(&[], b"").0, "the key arguments: found no key, expected at least one");
    assert!(parse("keys", b"#").is_err());
}

#[test]
fn endless_input_is_refused_after_the_limit() {
    let arguments = ["-".to_owned()];
    let fault = gather(&arguments, std::io::repeat(b'#')).unwrap_err();
    assert!(matches!(fault, KeyError::TooLarge { limit: 1_048_576, .. }), "{fault}");
}

#[test]
fn an_unreadable_source_keeps_its_cause() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let fault = gather(&["-".to_owned()], Broken).unwrap_err();
    assert_eq!(fault.to_string(), "cannot read standard input");
    assert_eq!(std::error::Error::source(&fault).unwrap().to_string(), "permission denied");
}

#[test]
fn every_note_says_what_it_is_about() {
    let key = samples::ED25519;
    let rows = [
        (samples::RSA_3072.to_owned(), vec![]),
        (
            samples::RSA_2048.to_owned(),
            vec!["keys line 1: RSA key of 2048 bits, 3072 or more are advised"],
        ),
        (
            format!(r#"from="10.0.0.0/8",no-pty {key}"#),
            vec!["keys line 1: options kept: from=, no-pty"],
        ),
        (format!("{key}\n\n{key}"), vec!["keys line 3: same key as keys line 1, dropped"]),
        (
            format!("cert-authority {key}"),
            vec![
                "keys line 1: options kept: cert-authority",
                "keys line 1: lets in by certificates this key signed, not by the key itself",
            ],
        ),
        (
            samples::P256_CERTIFICATE.to_owned(),
            vec![
                "keys line 1: sshd lets nobody in by a certificate listed here, only by a plain key \
                 or by the plain key of a CA after `cert-authority`",
            ],
        ),
        (
            format!("{key}\nno-pty {key}"),
            vec![
                "keys line 2: options kept: no-pty",
                "keys line 2: same key as keys line 1 with other options; both kept, sshd uses the \
                 first whose options allow the login",
            ],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(notes(&text), expected, "{text}");
    }
}

#[test]
fn keys_that_let_nobody_in_to_a_shell_do_not_count() {
    let key = samples::ED25519;
    let rows = [
        (samples::P256_CERTIFICATE.to_owned(), "sshd lets nobody in by a certificate"),
        (
            format!(r#"command="echo 'Please login as \"x\".';exit 142" {key}"#),
            "command= runs echo instead of a shell",
        ),
        (format!(r#"no-pty,expiry-time="20200101" {key}"#), "lets nobody in since 2020-01-01"),
        (format!(r#"command="bash",expiry-time="20200101Z" {key}"#), "nobody in since 2020-01-01"),
    ];
    for (line, why) in &rows {
        let (message, hint) = fault(&[line], NO_INPUT);
        let said = "none of the keys gives a shell: key argument 1 line 1: ";
        assert!(message.starts_with(said) && message.contains(why), "{message}");
        assert!(hint.starts_with("give the plain key"), "{hint}");
        // with another key beside it, a note is enough
        let both = take(&[line, samples::P384], NO_INPUT).unwrap();
        let notes: Vec<String> = both.notes.iter().map(ToString::to_string).collect();
        assert!(both.keys.len() == 2 && notes.iter().any(|note| note.contains(why)), "{notes:?}");
        // an image that has it can be looked at
        assert_eq!(parse("keys", line.as_bytes()).unwrap().keys.len(), 1);
    }
    let all: Vec<&str> = rows.iter().map(|(line, _)| line.as_str()).collect();
    let (message, _) = fault(&all, NO_INPUT);
    assert_eq!(message.matches(" line 1: ").count(), rows.len(), "{message}");
}

/// What stands in front of a first line and of a second one of the same key, and whether the second one lets somebody in.
/// sshd uses the first line of a key whose options allow the login (`user_key_allowed2` in OpenSSH).
const TWO_LINES: [(&str, &str, bool); 8] = [
    (r#"command="ls""#, "", false),
    (r#"command="ls""#, r#"from="10.0.0.1""#, false),
    (r#"command="ls",expiry-time="29991231""#, "", false),
    (r#"command="ls",expiry-time="20200101""#, "", true),
    (r#"command="ls",from="10.0.0.1""#, "", true),
    (r#"expiry-time="20200101""#, "", true),
    (r#"command="ls",cert-authority"#, "", true),
    ("", r#"command="ls""#, true),
];

#[test]
fn a_line_behind_one_that_takes_every_login_lets_nobody_in() {
    for (first, second, lets_in) in TWO_LINES {
        let [one, two] = [first, second].map(|options| format!("{options} {}", samples::ED25519));
        let both = take(&[one.trim(), two.trim()], NO_INPUT);
        assert_eq!(both.is_ok(), lets_in, "{first}, then {second}: {both:?}");
        let beside = take(&[one.trim(), two.trim(), samples::P384], NO_INPUT).unwrap();
        let notes: Vec<String> = beside.notes.iter().map(ToString::to_string).collect();
        let told = "first whose options allow the login: command= runs ls instead of a shell";
        assert_eq!(notes.iter().any(|note| note.contains(told)), !lets_in, "{notes:?}");
        assert_eq!(beside.keys.letting_in(), if lets_in { 2 } else { 1 }, "{first}, {second}");
        assert_eq!(beside.keys.len(), 3);
    }
}

#[test]
fn options_that_leave_a_shell_count() {
    for options in [
        r#"from="10.0.0.0/8""#,
        "restrict",
        "no-pty",
        "cert-authority",
        r#"command="tmux new -A""#,
        r#"expiry-time="29991231""#,
    ] {
        let line = format!("{options} {}", samples::ED25519);
        assert_eq!(take(&[&line], NO_INPUT).unwrap().keys.len(), 1, "{options}");
    }
    let (message, hint) =
        fault(&[&format!(r#"expiry-time="soon" {}"#, samples::ED25519)], NO_INPUT);
    assert!(message.contains("an expiry-time that is not a time") && hint.contains("YYYYMMDD"));
}

#[test]
fn notes_on_a_dropped_line_are_not_repeated() {
    let twice = format!("{0}\n{0}\n", samples::RSA_2048);
    let [short, dropped] = &notes(&twice)[..] else { panic!("two notes") };
    assert!(short.starts_with("keys line 1: RSA") && dropped.starts_with("keys line 2: same key"));
}

#[test]
fn no_part_of_a_rejected_line_is_repeated() {
    // The body of a private key, without its armour, in every place of a line.
    let secret = "MIIEpAIBAAKCAQEAsecretsecret";
    for text in [
        secret.to_owned(),
        format!("{secret} {secret}"),
        format!("ssh-ed25519 {secret}"),
        format!("ssh-ed25519 {secret}="),
        format!("ssh-{secret} AAAA"),
        format!("{secret} {}", samples::ED25519),
        format!("from={secret} {}", samples::ED25519),
        format!("no-{secret} {}", samples::ED25519),
        format!("\"{secret} {}", samples::ED25519),
        format!("{secret}\u{7}"),
    ] {
        let fault = parse("keys", text.as_bytes()).unwrap_err();
        let told = format!("{fault} {fault:?} {:?}", fault.hint());
        assert!(!told.to_lowercase().contains("secret"), "{told}");
    }
}

proptest::proptest! {
    // From `src` proptest would keep its regressions in a folder at the top level.
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_damage_gives_a_fault_or_keys_that_read_back(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..8),
        marks in "[ \t\"\\\\,#\r\n=a\u{feff}]{0,4}",
        (at, marked) in (0..200_usize, 0..200_usize),
    ) {
        // Marks alone often leave a sound line, with other bytes mostly not.
        let mut text = format!("from=\"a b\",no-pty {} me", samples::ED25519).into_bytes();
        let marked = marked.min(text.len());
        text.splice(marked..marked, marks.into_bytes());
        if at < 100 {
            text.splice(at..at, bytes);
        }
        if let Ok(Gathered { keys, .. }) = parse("keys", &text) {
            let again = parse("keys", keys.to_text().as_bytes()).unwrap();
            proptest::prop_assert_eq!(again.keys, keys);
        }
    }
}
