//! Kernel command lines in the files that start a kernel, and how they change: iPXE scripts, and the shell scripts of kexec
//! tarballs.

use std::ops::Range;

use crate::boot::entry_args::{BY_KERNEL, LONGEST_COMMAND_LINE, arguments, too_long};
use crate::checked;
use crate::error::{Error, Result};
use crate::formats::boot_config::{Entry, Word};
use crate::formats::credential::keys_of;
use crate::netboot::{ipxe, ipxe_lines, loads, shell_lines};
use crate::recipe::edits::{Boot, Credential};

/// The language of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Language {
    Ipxe,
    Shell,
}

/// What is understood in place of something that is not, and what that is.
type Odd = Option<(&'static str, String)>;

/// A file that starts a kernel.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    language: Language,
    entries: Vec<Entry>,
    /// What keeps its command lines from being changed: a character that the shell does not hand on.
    fixed: Option<char>,
}

impl Script {
    /// Reads a file beside an initrd that is edited; none if it starts no NixOS.
    ///
    /// # Errors
    /// A script that starts something without what is put in.
    pub(crate) fn read(name: &str, bytes: &[u8], initrd: &str) -> Result<Option<Self>> {
        let Some((script, odd)) = Self::understood(name, bytes) else {
            return loads::check_initrds(name, bytes, initrd).map(|()| None);
        };
        loads::check_initrds(name, bytes, initrd)?;
        if let Some((looked_for, found)) = odd {
            return Err(Error::unsupported(name, looked_for, found).with_hint(
                "write it in that way: a line that is not understood could start the installer without your key",
            ));
        }
        if let Some(script) = &script {
            loads::check_lines(name, &script.text, &script.entries)?;
        }
        Ok(script)
    }

    /// Reads a file; none if it starts no NixOS.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Option<Self> {
        Self::understood(name, bytes)?.0
    }

    /// The same, and the first thing in it that is not understood where it may start NixOS.
    fn understood(name: &str, bytes: &[u8]) -> Option<(Option<Self>, Odd)> {
        let text =
            std::str::from_utf8(bytes).ok().filter(|text| text.starts_with("#!"))?.to_owned();
        let language = if text.starts_with("#!ipxe") { Language::Ipxe } else { Language::Shell };
        let (lines, fixed, odd) = match language {
            Language::Ipxe => {
                let found = ipxe_lines::read(&text);
                (found.arguments, None, found.odd.filter(|_| text.contains("init=")))
            }
            Language::Shell => {
                let found = shell_lines::read(&text);
                (found.arguments, found.fixed, found.odd)
            }
        };
        let entries = lines.into_iter().map(|arguments| Entry {
            title: vec![name.to_owned()],
            title_at: None,
            label: None,
            kernel: Word { text: String::new(), at: 0..0 },
            arguments,
            initrds: Vec::new(),
        });
        let mut entries: Vec<Entry> = entries.filter(|entry| entry.init().is_some()).collect();
        entries.sort_by_key(|entry| parameters(entry).start);
        let name = name.to_owned();
        let script = !entries.is_empty();
        let script = script.then_some(Self { name, text, language, entries, fixed });
        Some((script, odd))
    }

    /// Refuses a script whose command line is not known to the letter.
    ///
    /// # Errors
    /// The script and the character.
    pub(crate) fn check_known(&self) -> Result<()> {
        let Some(odd) = self.fixed else { return Ok(()) };
        let looked_for = "kernel arguments that the shell hands on as they stand";
        Err(Error::unsupported(&self.name, looked_for, format!("`{odd}` among them"))
            .with_hint("leave the kernel's arguments as they are, or write them in the script without that character"))
    }

    /// Its command lines.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same without keys: what is put in takes the place of those that were put in before.
    pub(crate) fn entries_below(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().map(without_keys)
    }

    /// Whether it is an iPXE script.
    pub(crate) fn is_ipxe(&self) -> bool {
        self.language == Language::Ipxe
    }

    /// The text with what is asked for in place of the keys that were put in before.
    pub(crate) fn changed(&self, boot: &Boot, credential: Option<&Credential>) -> Result<String> {
        let mut text = self.text.clone();
        let keys = self.entries.iter().flat_map(Entry::words).any(|word| !keys_of(word).is_empty());
        if self.fixed.is_some() && boot.is_empty() && credential.is_none() && !keys {
            return Ok(text);
        }
        self.check_known()?;
        for entry in self.entries.iter().rev() {
            let new = self.line(&without_keys(entry), boot, credential)?;
            if new.len() >= LONGEST_COMMAND_LINE {
                let what = format!("the command line in {}", self.name);
                return Err(too_long(&what, (new.len(), 0), boot, BY_KERNEL));
            }
            text.replace_range(parameters(entry), &new);
        }
        Ok(text)
    }

    /// The parameters of an entry as they become.
    fn line(&self, entry: &Entry, boot: &Boot, credential: Option<&Credential>) -> Result<String> {
        let new = arguments(entry, boot, "", credential)?;
        let mut words = Vec::new();
        let skipped = usize::from(is_apart(entry));
        let mut added = Some(&new.added);
        for (word, kept) in entry.arguments.iter().zip(&new.kept).skip(skipped) {
            if word.text == "--" {
                words.extend(self.written_all(added.take())?);
            }
            // An earlier run may have added the same. The kernel takes the last one, so that one stays.
            let is_again = |text: &String| added.is_some_and(|added| added.contains(text));
            match kept {
                Some(text) if is_again(text) => {}
                Some(text) if *text == word.text => {
                    let kept = self.text.get(word.at.clone());
                    words.push(checked::present(kept, "an argument in its script")?.to_owned());
                }
                Some(text) => words.push(self.written(text)?),
                None => {}
            }
        }
        words.extend(self.written_all(added)?);
        Ok(words.join(" "))
    }

    fn written_all(&self, texts: Option<&Vec<String>>) -> Result<Vec<String>> {
        texts.into_iter().flatten().map(|text| self.written(text)).collect()
    }

    fn written(&self, text: &str) -> Result<String> {
        if self.language == Language::Ipxe {
            return ipxe::word(text).map_err(|_| ipxe::not_carried(text, &self.name));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || ",._+:@%/=-".contains(c);
        if text.chars().all(plain) {
            return Ok(text.to_owned());
        }
        Err(ipxe::not_carried(text, &self.name))
    }
}

/// An entry without the arguments that carry keys.
fn without_keys(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    entry.arguments.retain(|word| keys_of(&word.text).is_empty());
    entry
}

/// Whether `init=` stands somewhere else than the parameters, as in `run`.
fn is_apart(entry: &Entry) -> bool {
    entry
        .arguments
        .first()
        .is_some_and(|word| word.text.starts_with("init=") && word.at.len() < word.text.len())
}

/// Where the parameters of an entry stand.
fn parameters(entry: &Entry) -> Range<usize> {
    let mut words = entry.arguments.iter().skip(usize::from(is_apart(entry)));
    let first = words.next().map_or(0..0, |word| word.at.clone());
    let end = words.next_back().map_or(first.end, |word| word.at.end);
    first.start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::edits::{Replacement, Spanned};

    fn boot() -> Boot {
        let asked = |value| Spanned { value, place: "--x".to_owned() };
        Boot {
            delete: vec![asked("nohibernate".to_owned())],
            replace: vec![Spanned {
                value: Replacement { key: "loglevel".into(), old: None, new: "7".into() },
                place: "--x".into(),
            }],
            add: vec![asked("console=ttyS0,115200".to_owned())],
            ..Boot::default()
        }
    }

    fn changed(text: &str) -> String {
        Script::parse("run", text.as_bytes()).unwrap().changed(&boot(), None).unwrap()
    }

    #[test]
    fn an_ipxe_script_keeps_its_variables() {
        let old = "#!ipxe\nkernel bzImage init=/nix/store/x/init initrd=initrd nohibernate loglevel=4 lsm=a,b ${cmdline}\ninitrd initrd\nboot\n";
        let new = "#!ipxe\nkernel bzImage init=/nix/store/x/init initrd=initrd loglevel=7 lsm=a,b console=ttyS0,115200 ${cmdline}\ninitrd initrd\nboot\n";
        assert_eq!(changed(old), new);
    }

    #[test]
    fn scripts_of_kexec_tarballs_keep_everything_else() {
        let old = "#!/usr/bin/env bash\nkexec --load ${SCRIPT_DIR}/bzImage \\\n  --initrd=${SCRIPT_DIR}/initrd.gz \\\n  --command-line \"init=/nix/store/x/init nohibernate loglevel=4\"\nkexec -e\n";
        let new = old.replace("nohibernate loglevel=4", "loglevel=7 console=ttyS0,115200");
        assert_eq!(changed(old), new);
        let old = "#!/bin/sh\n# provided by nix\ninit=\"/nix/store/x/init\"\nkernelParams=\"'root=fstab' nohibernate 'loglevel=4' -- -x\"\nsh -c \"kexec --command-line 'init=$init $kernelParams'\"\n";
        let new = old.replace("nohibernate 'loglevel=4'", "loglevel=7 console=ttyS0,115200");
        assert_eq!(changed(old), new);
        let script = Script::parse("run", old.as_bytes()).unwrap();
        assert_eq!(script.entries()[0].init(), Some("/nix/store/x/init"));
    }

    #[test]
    fn what_does_not_start_nixos_is_not_a_script() {
        for text in [
            "",
            "#!/bin/sh\n",
            "init=/nix/store/x/init",
            "#!ipxe\nkernel bzImage\n",
            "#!/bin/sh\nx --command-line \"init=$init a\"\n",
            "#!/bin/sh\ninit=\"/a\"\nkernelParams=\"\"\n",
            "#!/bin/sh\nx --command-line \"init=/a",
        ] {
            assert!(Script::parse("x", text.as_bytes()).is_none(), "{text}");
        }
        assert!(Script::parse("x", b"\xff\xfe").is_none());
        let script = Script::parse("x", b"#!/bin/sh\nx --command-line \"init=/a b\"\n").unwrap();
        let added = Spanned { value: "a=$b".to_owned(), place: "--karg".to_owned() };
        let odd = Boot { add: vec![added], ..Boot::default() };
        assert!(script.changed(&odd, None).is_err());
    }
}
