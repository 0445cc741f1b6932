//! Unit files of systemd (systemd.syntax(7), systemd.unit(5)): what their settings are, as far as
//! installing them and running them needs it.

/// Ends of the names of units that can be installed (systemd.unit(5), "Description").
const KINDS: [&str; 9] =
    ["service", "socket", "timer", "path", "target", "mount", "automount", "swap", "slice"];

/// Longest name of a unit.
const LONGEST: usize = 255;

/// Settings of a unit file, in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnitFile {
    settings: Vec<Setting>,
}

/// `Key=value` in a section.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Setting {
    section: String,
    key: String,
    value: String,
}

impl UnitFile {
    /// Reads a unit file.
    ///
    /// # Errors
    /// The number of the first line that is none of a unit file, counted from 1.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut file = Self { settings: Vec::new() };
        let (mut section, mut joined, mut last) = (None, String::new(), 0);
        for (number, line) in (1_usize..).zip(text.lines()) {
            let trimmed = line.trim();
            last = number;
            if trimmed.starts_with(['#', ';']) || joined.is_empty() && trimmed.is_empty() {
                continue;
            }
            joined.push_str(trimmed);
            if joined.ends_with('\\') {
                joined.pop();
                joined.push(' ');
                continue;
            }
            let whole = std::mem::take(&mut joined);
            file.add_line(&whole, &mut section).ok_or(number)?;
        }
        // systemd takes a last line that is to be continued as it is.
        if !joined.is_empty() {
            file.add_line(joined.trim_end(), &mut section).ok_or(last)?;
        }
        Ok(file)
    }

    /// Takes a line without continuations. None for a line that unit files do not have.
    fn add_line(&mut self, line: &str, section: &mut Option<String>) -> Option<()> {
        if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            *section = Some(name.to_owned());
            return Some(());
        }
        let (section, (key, value)) = section.clone().zip(line.split_once('='))?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        self.settings.push(Setting { section, key, value });
        Some(())
    }

    /// The values of a setting. An empty one takes back those before it (systemd.syntax(7)).
    pub(crate) fn values(&self, section: &str, key: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for setting in self.settings.iter().filter(|s| s.section == section && s.key == key) {
            if setting.value.is_empty() {
                found.clear();
            } else {
                found.push(setting.value.as_str());
            }
        }
        found
    }

    /// The same, where each value is a list of words.
    pub fn words(&self, section: &str, key: &str) -> Vec<&str> {
        self.values(section, key).into_iter().flat_map(str::split_whitespace).collect()
    }

    /// Whether it has settings in a section.
    pub fn has(&self, section: &str) -> bool {
        self.settings.iter().any(|setting| setting.section == section)
    }

    /// Programs that it runs, without the marks before them (systemd.service(5), "Command lines").
    pub fn programs(&self) -> Vec<&str> {
        let runs = |setting: &&Setting| {
            setting.key.starts_with("Exec") && !setting.key.starts_with("ExecSearch")
        };
        let mut found = Vec::new();
        for setting in self.settings.iter().filter(runs) {
            let word = setting.value.split_whitespace().next().unwrap_or_default();
            found.push(word.trim_start_matches(['@', '-', ':', '+', '!', '|']));
        }
        found.retain(|word| !word.is_empty());
        found
    }

    /// Whether any of its settings names a unit.
    pub(crate) fn names(&self, unit: &str) -> bool {
        self.settings.iter().any(|setting| setting.value.split_whitespace().any(|w| w == unit))
    }
}

/// The name of a unit, taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct UnitName<'a> {
    /// What stands before the `@` or the kind.
    pub stem: &'a str,
    /// What stands behind the `@`; empty for a template, none without `@`.
    pub instance: Option<&'a str>,
    /// As `service`.
    pub kind: &'a str,
}

impl<'a> UnitName<'a> {
    /// Takes a name apart; none if systemd would not have it.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "@:-_.\\".contains(c);
        let (before, kind) = name.rsplit_once('.')?;
        let (stem, instance) = match before.split_once('@') {
            Some((stem, instance)) => (stem, Some(instance)),
            None => (before, None),
        };
        let right = name.len() <= LONGEST && name.chars().all(plain) && !stem.is_empty();
        (right && KINDS.contains(&kind)).then_some(Self { stem, instance, kind })
    }

    /// Whether it stands for many units.
    pub(crate) fn is_template(&self) -> bool {
        self.instance == Some("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_a_name_of_up_to_255_characters() {
        let named = |length: usize| format!("{}.service", "x".repeat(length - 8));
        assert!(UnitName::parse(&named(255)).is_some());
        assert!(UnitName::parse(&named(256)).is_none());
    }

    #[test]
    fn settings_are_read_as_systemd_reads_them() {
        let text = "# a comment\n[Unit]\nAfter = a.service\n\n[Service]\nExecStart=-/bin/a \\\n; between\n  b\nExecStartPre=\nExecStop=+relative x\n[Install]\nWantedBy=a.target  b.target\nAlias=x.service\nAlias=\nAlias=y.service\n";
        let unit = UnitFile::parse(text).unwrap();
        assert_eq!(unit.values("Unit", "After"), ["a.service"]);
        assert_eq!(unit.values("Service", "ExecStart"), ["-/bin/a  b"]);
        assert_eq!(unit.programs(), ["/bin/a", "relative"]);
        assert_eq!(unit.words("Install", "WantedBy"), ["a.target", "b.target"]);
        assert_eq!(unit.words("Install", "Alias"), ["y.service"]);
        assert!(unit.has("Install") && !unit.has("Timer"));
        assert!(unit.names("b.target") && !unit.names("target"));
    }

    #[test]
    fn lines_that_are_not_of_a_unit_file_are_reported_by_number() {
        for (text, line) in [("A=b\n", 1), ("[Unit]\nhello\n", 2), ("#!/bin/sh\necho\n", 2)] {
            assert_eq!(UnitFile::parse(text), Err(line), "{text}");
        }
    }

    #[test]
    fn a_last_line_that_is_to_be_continued_counts() {
        let unit = UnitFile::parse("[Service]\nExecStart=/bin/a \\\n  b \\").unwrap();
        assert_eq!(unit.values("Service", "ExecStart"), ["/bin/a  b"]);
        assert_eq!(UnitFile::parse("[Service]\nnothing \\\n# remark\n"), Err(3));
    }

    #[test]
    fn names_are_taken_apart() {
        let name = |text| UnitName::parse(text);
        let plain = UnitName { stem: "a-b", instance: None, kind: "service" };
        assert_eq!(name("a-b.service"), Some(plain));
        assert!(name("a@.timer").unwrap().is_template());
        assert_eq!(name("a@x.y.path").unwrap().instance, Some("x.y"));
        for bad in ["a", "a.sh", ".service", "@a.service", "a b.service", "ä.service", "a.scope"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
