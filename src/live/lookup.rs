//! Whether a base has the keymap, font and locale that are asked for.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::iso::survey::console::Console;
use crate::nearest::nearest;
use crate::recipe::edits::{Edits, Purpose, RequiredName, Spanned};

/// The most names that are listed.
const MAX_SHOWN: usize = 6;

/// Names that are examples of their kind.
const USUAL: [&str; 3] = ["us", "default8x16", "en_US.utf8"];

/// Refuses names that a base does not have. Notes those that could not be looked up. `known` is what the base has, or why
/// that is not known.
pub fn look_up(edits: &Edits, known: Result<&Console, &str>) -> Result<Vec<String>> {
    let mut unknown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for asked in &edits.required_names {
        let RequiredName { kind, name } = &asked.value;
        let why = match known {
            Ok(_) if brings(edits, kind) => "as the overlay may bring it",
            Ok(console) if kind_of_locales(kind) && console.unread_locales => {
                "whose archive of locales is not understood"
            }
            Ok(console) if Names::new(kind, console).is_none() => "whose store shows none",
            Ok(console) => {
                judge(asked, console)?;
                continue;
            }
            Err(why) => why,
        };
        unknown.entry(why).or_default().push(format!("{kind} {name}"));
    }
    let note = |(why, names): (&str, Vec<String>)| {
        format!("not looked up in the base, {why}: {}", names.join(", "))
    };
    Ok(unknown.into_iter().map(note).collect())
}

fn kind_of_locales(kind: &str) -> bool {
    kind == "locale"
}

/// Whether what is put in may have it.
fn brings(edits: &Edits, kind: &str) -> bool {
    let is_overlay = |purpose| purpose == Purpose::Overlay;
    let mut paths = edits.root.members().map(|member| member.path.as_str());
    !kind_of_locales(kind)
        && (paths.any(|path| path.starts_with("etc/kbd"))
            || edits.attached.iter().any(|attached| is_overlay(attached.purpose)))
}

/// The names of one kind that a base has.
struct Names<'a> {
    names: Vec<&'a str>,
    /// A name without what may be left out.
    plain: fn(&str) -> String,
}

impl<'a> Names<'a> {
    /// None if the base has no names of the kind.
    fn new(kind: &str, console: &'a Console) -> Option<Self> {
        let (names, plain): (_, fn(&str) -> String) = match kind {
            "keymap" => (&console.keymaps, str::to_owned),
            "console-font" => (&console.fonts, without_suffix),
            _ => (&console.locales, in_utf8),
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (!names.is_empty()).then_some(Self { names, plain })
    }

    fn has(&self, wanted: &str) -> bool {
        let plain = (self.plain)(wanted);
        let behind =
            |name: &str| name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'));
        self.names.iter().any(|name| *name == wanted || (self.plain)(name) == plain || behind(name))
    }

    /// The name that was meant, or some that there are.
    fn hint(&self, wanted: &str) -> String {
        let plain: Vec<String> = self.names.iter().map(|name| (self.plain)(name)).collect();
        let best = nearest(wanted, plain.iter().map(String::as_str), |_| 2);
        let usual = plain.iter().find(|name| USUAL.contains(&name.as_str())).or(plain.first());
        match (best, usual) {
            (Some(best), _) => format!("did you mean `{best}`?"),
            (None, Some(usual)) if plain.len() > MAX_SHOWN => {
                format!("give one of the {} that it has, as `{usual}`", plain.len())
            }
            _ => format!("it has {}", plain.join(", ")),
        }
    }
}

fn judge(asked: &Spanned<RequiredName>, console: &Console) -> Result<()> {
    let RequiredName { kind, name } = &asked.value;
    // glibc has these without an archive.
    let is_built_in =
        *kind == "locale" && ["C.utf8", "POSIX.utf8"].contains(&in_utf8(name).as_str());
    let Some(names) = Names::new(kind, console).filter(|_| !is_built_in) else { return Ok(()) };
    if names.has(name) {
        return Ok(());
    }
    let what = format!("{}: the base has no {} {name:?}", asked.place, kind.replace('-', " "));
    Err(Error::Recipe { what, hint: names.hint(name).into() })
}

/// A font's file without what stands for its form.
fn without_suffix(name: &str) -> String {
    const FORMS: [&str; 7] = [".psfu.gz", ".psf.gz", ".psfu", ".psf", ".cp.gz", ".fnt.gz", ".gz"];
    let stem = FORMS.iter().find_map(|form| name.strip_suffix(form));
    stem.unwrap_or(name).to_owned()
}

/// A locale as archives have it: `de_DE.UTF-8@x` is `de_DE.utf8@x`.
fn in_utf8(name: &str) -> String {
    name.replacen("UTF-8", "utf8", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Customization, Facts};
    use crate::recipe::Recipe;

    fn looked_up(
        change: impl FnOnce(&mut Recipe),
        known: Result<&Console, &str>,
    ) -> Result<Vec<String>> {
        let mut recipe = Recipe::default();
        change(&mut recipe);
        let facts = Facts::from_release("25.11", None);
        look_up(&Customization::from_recipe(&recipe).unwrap().edits(&facts).unwrap(), known)
    }

    fn console() -> Console {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Console {
            keymaps: set(&["us", "de-latin1", "mac-de_CH"]),
            fonts: set(&["ter-v16n.psf.gz", "iso01.08.gz", "LatArCyrHeb-16+.psfu.gz"]),
            locales: set(&["en_US.utf8", "de_DE.utf8"]),
            unread_locales: false,
        }
    }

    #[test]
    fn what_the_base_has_is_taken() {
        for (keymap, font, locale) in [
            ("de-latin1", "ter-v16n", "de_DE.UTF-8"),
            ("mac-de_CH", "iso01.08", "en_US.utf8"),
            ("us", "LatArCyrHeb-16+", "C.UTF-8"),
        ] {
            let all = |recipe: &mut Recipe| {
                recipe.keymap = Some(keymap.into());
                recipe.console_font = Some(font.into());
                recipe.locale = Some(locale.into());
            };
            assert!(looked_up(all, Ok(&console())).unwrap().is_empty());
        }
    }

    #[test]
    fn what_the_base_lacks_is_refused_and_the_hint_helps() {
        let refused = |change: fn(&mut Recipe), what: &str, hint: &str| {
            let fault = looked_up(change, Ok(&console())).unwrap_err();
            assert_eq!(fault.to_string(), what);
            assert_eq!(fault.advice().and_then(crate::error::Advice::words), Some(hint));
        };
        refused(
            |recipe| recipe.keymap = Some("de-latin".into()),
            "--keymap: the base has no keymap \"de-latin\"",
            "did you mean `de-latin1`?",
        );
        refused(
            |recipe| recipe.console_font = Some("ter-v61n".into()),
            "--console-font: the base has no console font \"ter-v61n\"",
            "did you mean `ter-v16n`?",
        );
        refused(
            |recipe| recipe.locale = Some("fr_FR.UTF-8".into()),
            "--locale: the base has no locale \"fr_FR.UTF-8\"",
            "it has de_DE.utf8, en_US.utf8",
        );
    }

    #[test]
    fn what_cannot_be_looked_up_is_reported() {
        let keymap = |recipe: &mut Recipe| recipe.keymap = Some("dvorak".into());
        let note = "not looked up in the base, whose store shows none: keymap dvorak";
        assert_eq!(looked_up(keymap, Ok(&Console::default())).unwrap(), [note]);
        let both = |recipe: &mut Recipe| {
            recipe.keymap = Some("dvorak".into());
            recipe.locale = Some("de_DE.UTF-8".into());
        };
        let note = "not looked up in the base, a disk image: keymap dvorak, locale de_DE.UTF-8";
        assert_eq!(looked_up(both, Err("a disk image")).unwrap(), [note]);
        assert!(
            looked_up(|recipe| recipe.hostname = Some("x".into()), Err("")).unwrap().is_empty()
        );
    }
}
