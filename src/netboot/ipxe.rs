//! The iPXE script and the kernel's command line in it (ipxe.org/scripting, iPXE `src/core/exec.c`).

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::recipe::edits::Boot;

/// Arguments that name a medium, which is not there, or that a boot loader adds; `copytoram` would copy
/// what is in memory. A root by its own word, as `root=fstab`, stays.
pub(crate) fn without_medium(arguments: Vec<String>) -> Vec<String> {
    let goes = |text: &String| match text.split_once('=') {
        Some(("root", root)) => root.contains(['=', '/']),
        Some((key, _)) => ["initrd", "BOOT_IMAGE", "findiso"].contains(&key),
        None => text == "copytoram",
    };
    // GRUB's own variables, as `${isoboot}`
    let is_variable = |text: &String| text.trim_start_matches('\\').starts_with("${");
    arguments.into_iter().filter(|text| !goes(text) && !is_variable(text)).collect()
}

/// A script that starts this kernel and [`super::INITRD`], which lie beside it. Who chains to it can add
/// arguments in `cmdline`.
pub fn script(kernel: &str, arguments: &[String]) -> Result<String> {
    let mut text = String::from("#!ipxe\n");
    text.push_str("# The variable cmdline is for more kernel parameters, set by whoever chains to this script.\n");
    let initrd = super::INITRD;
    let _ = write!(text, "kernel {}", word(kernel)?);
    let (first, rest) = arguments.split_at(arguments.len().min(1));
    for argument in first {
        let _ = write!(text, " {}", word(argument)?);
    }
    let _ = write!(text, " initrd={initrd}");
    for argument in rest {
        let _ = write!(text, " {}", word(argument)?);
    }
    let _ = write!(text, " ${{cmdline}}\ninitrd {initrd}\nboot\n");
    Ok(text)
}

/// Refuses arguments that were asked for and that iPXE does not hand on.
///
/// # Errors
/// [`Error::Usage`]: the image is not at fault.
pub(crate) fn check_asked(boot: &Boot) -> Result<()> {
    let added = boot.add.iter().map(|asked| asked.value.clone());
    let replaced = boot.replace.iter().map(|asked| asked.value.argument());
    added.chain(replaced).try_for_each(|text| match word(&text) {
        Ok(_) if without_medium(vec![text.clone()]).is_empty() => Err(about_medium(&text)),
        Ok(_) => Ok(()),
        Err(_) => Err(not_carried(&text, "an iPXE script")),
    })
}

/// The error for an argument that was asked for and that [`without_medium`] would take out in silence.
fn about_medium(text: &str) -> Error {
    Error::Usage {
        what: format!(
            "the kernel argument {text:?} is about a medium, and a network boot has none"
        ),
        hint: "leave it out".into(),
    }
}

/// The error for an argument that was asked for and cannot stand in a script.
pub(crate) fn not_carried(text: &str, script: &str) -> Error {
    Error::Usage {
        what: format!("the kernel argument {text:?} cannot be written in {script}"),
        hint: "leave it out, or give it without the characters that mean something to the script's language".into(),
    }
}

/// A word as iPXE hands it on: it splits at blanks, joins with one blank, replaces `${…}`, ends commands at
/// `||`, `&&` and `;`, and lines at a `#` that starts a word. Quotes are the kernel's (Linux `lib/cmdline.c`).
pub fn word(text: &str) -> Result<String> {
    let odd = |word: &str| ["||", "&&", ";"].contains(&word) || word.starts_with('#');
    let plain = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    let joined = !text.contains("  ") && !text.starts_with(' ') && !text.ends_with(' ');
    if text.is_empty() || !plain || !joined || text.contains("${") || text.split(' ').any(odd) {
        return Err(Error::unsupported(
            "an argument for the iPXE script",
            "printable characters that mean nothing to iPXE",
            format!("{text:?}"),
        ));
    }
    if !text.contains(' ') {
        return Ok(text.to_owned());
    }
    Ok(match text.split_once('=') {
        Some((key, value)) if !key.contains(' ') => format!("{key}=\"{value}\""),
        _ => format!("\"{text}\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_medium_is_not_asked_for() {
        let old = "${isoboot} init=/nix/store/x/init root=LABEL=nixos findiso= copytoram loglevel=4 initrd=/boot/initrd";
        assert_eq!(without_medium(words(old)), ["init=/nix/store/x/init", "loglevel=4"]);
        let old = "\\${isoboot} init=/i root=fstab root=/dev/sda root=UUID=1 rootwait";
        assert_eq!(without_medium(words(old)), ["init=/i", "root=fstab", "rootwait"]);
    }

    #[test]
    fn the_script_is_as_nixpkgs_has_it() {
        let text = script("bzImage", &words("init=/i a=b")).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# ")).collect();
        assert_eq!(
            lines,
            [
                "#!ipxe",
                "kernel bzImage init=/i initrd=initrd a=b ${cmdline}",
                "initrd initrd",
                "boot"
            ]
        );
        assert!(
            script("k", &["dyndbg=file x +p".into()])
                .unwrap()
                .contains(" dyndbg=\"file x +p\" initrd=")
        );
    }

    #[test]
    fn what_means_something_to_ipxe_is_refused() {
        for text in [
            "${x}",
            "a=${net0/mac}",
            "||",
            "a && b",
            "x ;",
            "#a",
            "a #b",
            "a\tb",
            "é",
            "",
            "a  b",
            " a",
        ] {
            assert!(word(text).is_err(), "{text:?}");
        }
        for text in ["a;b", "a#b", "$x", "a||b", "--"] {
            assert_eq!(word(text).unwrap(), text);
        }
    }
}
