//! What whoever has a screen sees there without logging in: address, host keys and the ssh command.

use std::fmt::Write as _;

use super::host_key::HostKeys;
use crate::recipe::Recipe;
use crate::recipe::edits::Edits;

/// Read by agetty behind `/etc/issue`, which NixOS has (`agetty(8)`, "ISSUE FILES"; util-linux 2.35).
const ISSUE: &str = "etc/issue.d/remaster.issue";

/// What shows them.
pub(super) const SCRIPT: &str = "etc/remaster/greeting";

/// The files beside the unit.
pub(super) const FILES: [&str; 2] = [ISSUE, SCRIPT];

/// Every address of the machine and every host key, as soon as they are there. Consoles of a stock
/// installer log in by themselves and show the greeting once only, so what is new is reported there by
/// `wall`, too.
const TEXT: &str = r#"# Put there by remaster: keeps the greeting of the consoles up to date.
PATH=/run/current-system/sw/bin:$PATH
issue=/etc/issue.d/remaster.issue
addresses() {
  ip -o address show up scope global | while read -r _ name _ address _; do
    printf '  ssh root@%-40s (%s)\n' "${address%%/*}" "$name"
  done
}
keys() {
  for key in /etc/ssh/ssh_host_*_key.pub; do
    [ -s "$key" ] && ssh-keygen -l -f "$key" | while read -r _ print rest; do
      printf '  host key %s %s\n' "${rest##* }" "$print"
    done
  done
}
shown= told=
while :; do
  where=$(addresses) who=$(keys)
  if [ "$where/$who" != "$shown" ]; then
    shown=$where/$who
    printf '%s\n%s\n\n' "${where:-  ssh root@\\4}" "$who" > $issue.new && mv -f $issue.new $issue
    agetty --reload
    if [ "$where" ] && [ "$where" != "$told" ]; then
      told=$where
      wall -n "$where
$who"
    fi
  fi
  sleep 5
done
"#;

const UNIT: &str = "\
[Unit]
Description=Show addresses and host keys on the console
After=sshd-keygen.service sshd.service

[Service]
ExecStart=/bin/sh /etc/remaster/greeting
Restart=on-failure
";

pub(super) const NAME: &str = "remaster-greeting.service";

/// The greeting, if there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Greeting {
    wanted: bool,
}

impl Greeting {
    /// The console greets by default if the image has a key or a host key. `has_host_key`: it keeps a host key of before.
    pub(super) fn gather(recipe: &Recipe, has_host_key: bool) -> Self {
        let ssh = recipe.names_key() || recipe.names_host_key() || has_host_key;
        Self { wanted: recipe.greeting.unwrap_or(ssh) }
    }

    /// Puts in what is known now, and the unit that keeps it up to date.
    pub(super) fn apply(self, keys: Option<&HostKeys>, edits: &mut Edits) {
        if !self.wanted {
            return;
        }
        let mut text = String::from("  ssh root@\\4\n");
        for key in keys.iter().flat_map(|keys| &keys.keys) {
            let _ = writeln!(text, "  host key {key}");
        }
        edits.root.file(ISSUE, 0o644, text + "\n");
        edits.root.file(SCRIPT, 0o755, TEXT);
        edits.root.unit(NAME, UNIT);
        edits.root.want(NAME, "multi-user.target");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(recipe: &Recipe) -> usize {
        let mut edits = Edits::default();
        Greeting::gather(recipe, false).apply(None, &mut edits);
        edits.root.members().filter(|member| member.path.contains("greeting")).count()
    }

    #[test]
    fn there_where_ssh_is_of_use_or_as_it_was_said() {
        let key = Recipe { key: vec!["k".into()], ..Recipe::default() };
        let host = Recipe { host_key: vec!["generate".into()], ..Recipe::default() };
        assert_eq!((members(&key), members(&host), members(&Recipe::default())), (3, 3, 0));
        assert_eq!(members(&Recipe { greeting: Some(false), ..key }), 0);
        assert_eq!(members(&Recipe { greeting: Some(true), ..Recipe::default() }), 3);
    }
}
