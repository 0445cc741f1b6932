//! Secrets that are typed on a terminal: they are not shown, and a signal leaves a terminal that shows what is typed.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::support::{Folder, TINY, key};

const PROMPTS: [&str; 3] = ["--root-password-prompt", "--root-password-file -", "--sign locked"];

/// Runs the program below script(1), which gives it a terminal, and types a line or sends a signal as soon as it asks. What
/// the terminal showed, and its state afterwards.
fn shown(folder: &Folder, flags: &str, signal: Option<&str>) -> String {
    let program = env!("CARGO_BIN_EXE_remaster");
    let script = format!(
        "sh -c 'echo $$ >pid; exec env --default-signal=HUP,INT,TERM {program} base.iso --key key.pub {flags} -f -o out'; stty -a"
    );
    let mut command = Command::new("script");
    command.args(["-qec", &script, "/dev/null"]).current_dir(folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut text = Vec::new();
    // The terminal shows nothing of what is typed once the question stands there.
    while !text.ends_with(b": ") {
        let mut byte = [0];
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    if let Some(signal) = signal {
        let pid = String::from_utf8(folder.read("pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    } else {
        child.stdin.as_mut().unwrap().write_all(b"hunter22\n").unwrap();
        // A second question gets no answer.
        drop(child.stdin.take());
    }
    // It ends with the state of the terminal, and the pipe stays open until then.
    screen.read_to_end(&mut text).unwrap();
    child.wait().unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", key(1).as_bytes());
    let locked = ["-q", "-t", "ed25519", "-N", "hunter22", "-f", "locked"];
    let made = Command::new("ssh-keygen").args(locked).current_dir(folder.path()).status();
    assert!(made.unwrap().success());
    folder
}

#[test]
fn a_signal_at_a_prompt_leaves_a_terminal_that_shows_what_is_typed() {
    let folder = folder();
    for (flags, signal) in PROMPTS.iter().zip(["-TERM", "-HUP", "-INT"]) {
        let text = shown(&folder, flags, Some(signal));
        assert!(text.contains(" echo "), "{flags}: {text}");
        assert!(!folder.at("out").exists(), "{flags}");
    }
}

#[test]
fn a_secret_that_is_typed_is_not_shown() {
    let folder = folder();
    for flags in PROMPTS {
        let text = shown(&folder, flags, None);
        assert!(!text.contains("hunter22") && text.contains(" echo "), "{flags}: {text}");
    }
}
