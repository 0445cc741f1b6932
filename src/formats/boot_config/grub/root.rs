//! `root`: the device of paths that name none (GRUB manual 2.12, "root"), and the commands that choose another one.

use super::super::Word;
use super::super::script::Root;
use super::variables::{may_be, sets};

const NAME: &str = "root";

/// What a command chooses as `root`; `None` if it leaves it as it is.
pub(super) fn chosen_by(words: &[Word]) -> Option<Root> {
    let (first, rest) = words.split_first()?;
    match first.text.as_str() {
        "search" => Search::read(rest).root(),
        "search.file" => searched(rest, Root::WithFile),
        "search.fs_label" => searched(rest, Root::WithLabel),
        "search.fs_uuid" => searched(rest, Root::WithUuid),
        _ => sets(words, NAME).then_some(Root::Other),
    }
}

fn may_be_root(name: &str) -> bool {
    may_be(name, NAME)
}

/// What `search.…` chooses: it takes what to look for, and the name of a variable.
fn searched(words: &[Word], by: fn(String) -> Root) -> Option<Root> {
    let [wanted, variable, ..] = words else { return None };
    may_be_root(&variable.text).then(|| known(&wanted.text, by))
}

fn known(wanted: &str, by: fn(String) -> Root) -> Root {
    if wanted.contains('$') { Root::Other } else { by(wanted.to_owned()) }
}

/// The words of `search` (GRUB `grub-core/commands/search_wrap.c`, and `grub_arg_parse` of `grub-core/lib/arg.c`).
#[derive(Default)]
struct Search<'w> {
    by_label: bool,
    by_uuid: bool,
    by_file: bool,
    is_set: bool,
    set: Option<&'w str>,
    wanted: Option<&'w str>,
    /// Whether it has an option that is not known.
    is_odd: bool,
}

impl<'w> Search<'w> {
    fn read(words: &'w [Word]) -> Self {
        let mut search = Self::default();
        let mut words = words.iter().map(|word| word.text.as_str()).peekable();
        while let Some(word) = words.next() {
            let mut value = || words.next_if(|value| !value.starts_with('-'));
            match (word.strip_prefix("--"), word.strip_prefix('-')) {
                (Some(""), _) => {
                    search.wanted = search.wanted.or(words.next());
                    break;
                }
                (Some(long), _) => {
                    let (name, own) = long.split_once('=').unzip();
                    let name = name.unwrap_or(long);
                    let has_value = name == "set" || name.starts_with("hint");
                    let behind = || if has_value { value() } else { None };
                    search.option(name, own.or_else(behind));
                }
                (None, Some(shorts)) if !shorts.is_empty() => search.shorts(shorts, value),
                _ => search.wanted = search.wanted.or(Some(word)),
            }
        }
        search
    }

    /// Options of one letter each; the last one may have a value behind it.
    fn shorts(&mut self, letters: &str, mut value: impl FnMut() -> Option<&'w str>) {
        for (at, letter) in letters.char_indices() {
            let is_last = letters.len() == at.saturating_add(letter.len_utf8());
            let name = match letter {
                'f' => "file",
                'l' => "label",
                'u' => "fs-uuid",
                's' => "set",
                'n' => "no-floppy",
                'h' => "hint",
                _ => "",
            };
            let has_value = is_last && matches!(letter, 's' | 'h');
            let value = if has_value { value() } else { None };
            self.option(name, value);
        }
    }

    fn option(&mut self, name: &str, value: Option<&'w str>) {
        match name {
            "file" => self.by_file = true,
            "label" => self.by_label = true,
            "fs-uuid" => self.by_uuid = true,
            "set" => (self.is_set, self.set) = (true, value),
            "no-floppy" | "efidisk-only" => {}
            name if name.starts_with("hint") => {}
            _ => self.is_odd = true,
        }
    }

    fn root(self) -> Option<Root> {
        let (wanted, variable) = match (self.wanted, self.set) {
            (Some(wanted), variable) => (wanted, variable.unwrap_or(NAME)),
            (None, Some(wanted)) => (wanted, NAME),
            (None, None) => return self.is_odd.then_some(Root::Other),
        };
        if self.is_odd {
            return Some(Root::Other);
        }
        if !self.is_set || !may_be_root(variable) {
            return None;
        }
        Some(match self {
            Self { by_label: true, .. } => known(wanted, Root::WithLabel),
            Self { by_uuid: true, .. } => known(wanted, Root::WithUuid),
            Self { by_file: true, .. } => known(wanted, Root::WithFile),
            _ => return None, // GRUB: "unspecified search type"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Syntax;
    use super::super::super::script::EntryBudget;
    use super::*;

    /// What a script with this command before its entry chooses.
    fn chosen(command: &str) -> Vec<Root> {
        let text = format!("{command}\nmenuentry a {{\n linux /k init=/i\n initrd /r\n}}\n");
        let script = Syntax::Grub.read(&text, &mut EntryBudget::default());
        script.roots.into_iter().map(|change| change.root).collect()
    }

    #[test]
    fn a_search_chooses_as_grub_reads_its_words() {
        let file = || vec![Root::WithFile("/x".into())];
        let label = || vec![Root::WithLabel("OTHER".into())];
        let uuid = || vec![Root::WithUuid("1234-5678".into())];
        for (command, roots) in [
            ("search --set=root --file /x", file()),
            ("search --set --file /x", file()),
            ("search --file --set=root /x", file()),
            ("search -f --set root /x", file()),
            ("search -s root -f /x", file()),
            ("search -sf /x", file()),
            ("search --no-floppy --hint=hd0 --hint-efi hd1 -fs root -- /x", file()),
            ("search.file /x root", file()),
            ("search --set=root --label OTHER", label()),
            ("search --label --set OTHER", label()),
            ("search -l -s root OTHER", label()),
            ("search -lfs root OTHER hd0", label()),
            ("search.fs_label OTHER root hd0", label()),
            ("if true; then search --set=root --label OTHER; fi", label()),
            ("search --set=root --no-floppy --fs-uuid 1234-5678", uuid()),
            ("search.fs_uuid 1234-5678 root", uuid()),
            ("search --set=$name --label OTHER", label()),
            ("search --set=drive --label OTHER", vec![]),
            ("search --label OTHER", vec![]),
            ("search.fs_label OTHER", vec![]),
            ("search.fs_label OTHER drive", vec![]),
        ] {
            assert_eq!(chosen(command), roots, "{command}");
        }
    }

    #[test]
    fn whatever_else_sets_root_or_may_set_it_counts() {
        for command in [
            "set root=(hd1)",
            "set root='hd0,msdos1'",
            "root=hd1",
            "set root=$drive",
            "set $name=hd1",
            "unset root",
            "search --set=root --label $label",
            "search --set=root --other --label OTHER",
            "search.fs_label $label root",
            "probe --set=root --fs-uuid hd0",
            "regexp -s root x y",
            "regexp --set 1:root x y",
            "read root",
            "for root in hd0 hd1; do true; done",
            "load_env",
            "load_env --file /boot/grub/env",
            "load_env -f root",
            "load_env --skip-sig saved root",
        ] {
            assert_eq!(chosen(command), [Root::Other], "{command}");
        }
        for command in [
            "set default=root",
            "set superusers=\"root\"",
            "export root",
            "echo root",
            "password root x",
            "if [ \"$root\" != \"cd0\" ]; then true; fi",
            "insmod part_gpt",
            "load_env --file root saved_entry",
        ] {
            assert_eq!(chosen(command), [], "{command}");
        }
    }

    #[test]
    fn only_what_nixos_is_loaded_from_counts() {
        let entry =
            |load: &str| format!("menuentry a {{\n search --set=root --label OTHER\n {load}\n}}\n");
        let count = |text: &str| Syntax::Grub.read(text, &mut EntryBudget::default()).roots.len();
        let nixos = entry("linux /k init=/i\n initrd /r");
        assert_eq!(count(&nixos), 1);
        assert_eq!(count(&format!("submenu b {{\n{nixos}}}\n")), 1);
        assert_eq!(count(&format!("submenu b {{\n search --set --label X\n{nixos}}}\n")), 2);
        assert_eq!(count("function f {\n search --set --label X\n}\n"), 1);
        for load in ["chainloader ($root)/x.efi", "linux /memtest", "linux /k a=b\n initrd /r"] {
            assert_eq!(count(&entry(load)), 0, "{load}");
        }
    }
}
