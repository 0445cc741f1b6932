//! Completions and manual pages know every command.

use std::collections::BTreeSet;

use crate::support::Folder;

/// The commands that `--help` lists.
fn commands(folder: &Folder) -> BTreeSet<String> {
    let help = folder.run(&["--help"]).done();
    let listed = help.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn every_command_is_completed_in_every_shell() {
    let folder = Folder::new();
    let commands = commands(&folder);
    assert!(commands.contains("netboot") && commands.len() > 10, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = folder.run(&["completions", shell]).quietly();
        let text = String::from_utf8(text).unwrap();
        for command in &commands {
            assert!(text.contains(command), "{command} in {shell}");
        }
    }
    let bash = String::from_utf8(folder.run(&["completions", "bash"]).quietly()).unwrap();
    assert!(bash.contains("opts=\"flash stamp "), "commands stand before flags");
    let is_flash = |line: &&str| line.contains("opts=") && line.contains("--no-eject");
    let flash = bash.lines().find(is_flash).unwrap();
    assert!(flash.contains(" nixos-25.11-minimal "), "names of bases: {flash}");
    folder.run(&["completions", "tcsh"]).refused(2, "tcsh");
}

#[test]
fn the_folders_above_that_of_manual_pages_are_made() {
    let folder = Folder::new();
    folder.run(&["man", "share/man/man1"]).done();
    assert!(folder.at("share/man/man1/remaster.1").is_file());
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    folder.run(&["man", "man1"]).quietly();
    for command in commands(&folder) {
        let page = String::from_utf8(folder.read(&format!("man1/remaster-{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{command}");
        for section in
            [".SH EXAMPLES\n.nf\n.in 0n\nremaster", ".SH \"EXIT STATUS\"", ".SH \"SEE ALSO\""]
        {
            assert!(page.contains(section), "{command}: {section}");
        }
    }
    assert!(String::from_utf8(folder.read("man1/remaster.1")).unwrap().contains("EXIT STATUS"));
}
