//! Bonds as users write them, in the form that dracut has (dracut.cmdline(7), `bond=`).

use std::collections::BTreeSet;
use std::fmt;

use super::given::{Fault, fault, interface, is_mac};

/// What a bond has if nothing else is said: it needs no settings of the switch, and sees which member has a link.
const DEFAULTS: [(&str, &str); 2] = [("mode", "active-backup"), ("miimon", "100")];

/// What values an option takes.
enum Values {
    Words(&'static [&'static str]),
    Number,
    Member,
}

/// The options that `ip` and `NetworkManager` know by one name, what they take, and the modes that have them; no modes
/// means all (Linux, `Documentation/networking/bonding.rst`).
const OPTIONS: [(&str, Values, &[&str]); 8] = [
    (
        "mode",
        Values::Words(&[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ]),
        &[],
    ),
    ("miimon", Values::Number, &[]),
    ("updelay", Values::Number, &[]),
    ("downdelay", Values::Number, &[]),
    ("lacp_rate", Values::Words(&["slow", "fast"]), &["802.3ad"]),
    (
        "xmit_hash_policy",
        Values::Words(&["layer2", "layer2+3", "layer3+4"]),
        &["balance-xor", "802.3ad", "balance-tlb"],
    ),
    ("primary", Values::Member, &["active-backup", "balance-tlb", "balance-alb"]),
    ("fail_over_mac", Values::Words(&["none", "active", "follow"]), &["active-backup"]),
];

/// Interfaces that act as one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bond {
    /// At least two.
    pub(super) members: Vec<String>,
    /// Names and values, the mode first.
    pub(super) options: Vec<(String, String)>,
}

impl fmt::Display for Bond {
    /// `eno1,eno2:mode=active-backup,miimon=100`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options.iter().map(|(name, value)| format!("{name}={value}"));
        let options: Vec<String> = options.collect();
        write!(formatter, "{}:{}", self.members.join(","), options.join(","))
    }
}

/// Reads `NAME:MEMBER,MEMBER[:OPTION=VALUE,…]`; the name and the bond.
pub(super) fn bond(text: &str) -> Result<(String, Bond), Fault> {
    let mut parts = text.splitn(3, ':');
    let (name, members) = (parts.next().unwrap_or_default(), parts.next());
    let Some(members) = members else {
        let hint = match text.split_once('=') {
            Some((name, members)) => format!("give it as `{name}:{members}`"),
            None => "give its name and its members, as `bond0:eno1,eno2`".to_owned(),
        };
        return fault(format!("{text:?} names no members"), hint);
    };
    if let Some(address) = mac_in(text) {
        return fault(
            format!("{address:?} is a MAC address, and members of a bond go by name"),
            "give the names of interfaces, as `bond0:eno1,eno2`",
        );
    }
    let name = plain(name)?;
    let members: Vec<String> = members.split(',').map(plain).collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = members.iter().find(|member| !seen.insert(*member)) {
        return fault(format!("{twice} is given twice"), "give it once");
    }
    if members.contains(&name) {
        return fault(
            format!("{name} is a member of itself"),
            "give other interfaces as members, as `bond0:eno1,eno2`",
        );
    }
    if members.len() < 2 {
        return fault(
            format!("{text:?} does not bond two interfaces"),
            "give two members or more, as `bond0:eno1,eno2`",
        );
    }
    let options = options(parts.next(), &members)?;
    Ok((name, Bond { members, options }))
}

/// The name of an interface that is not a VLAN.
fn plain(name: &str) -> Result<String, Fault> {
    let named = "give the name of an interface, as `eno1`";
    let name = interface(name).map_err(|(what, _)| (what, named.to_owned()))?;
    if name.contains('.') {
        return fault(
            format!("{name} is a VLAN"),
            "bond interfaces, and give the bond a VLAN, as `bond0.20`",
        );
    }
    Ok(name)
}

/// A MAC address where a member stands. Its colons part it.
fn mac_in(text: &str) -> Option<&str> {
    const MAC: usize = 17;
    let (_, members) = text.split_once(':')?;
    members.split(',').filter_map(|member| member.get(..MAC)).find(|start| is_mac(start))
}

/// The options that are given, with the defaults for what is not.
fn options(text: Option<&str>, members: &[String]) -> Result<Vec<(String, String)>, Fault> {
    let mut options: Vec<(String, String)> = Vec::new();
    for word in text.iter().flat_map(|text| text.split(',')) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if options.iter().any(|(other, _)| other == name) {
            return fault(format!("{name} is given twice"), "give it once");
        }
        judge(name, value, members)?;
        options.push((name.to_owned(), value.to_owned()));
    }
    for (name, value) in DEFAULTS {
        if !options.iter().any(|(other, _)| other == name) {
            options.push((name.to_owned(), value.to_owned()));
        }
    }
    options.sort_by_key(|(name, _)| name != "mode");
    let mode = options.first().map_or("", |(_, mode)| mode.as_str());
    for (name, _, modes) in &OPTIONS {
        if !modes.is_empty()
            && !modes.contains(&mode)
            && options.iter().any(|(other, _)| other == name)
        {
            return fault(
                format!("{name} does nothing in mode {mode}"),
                format!("leave it out, or give one of the modes {}", modes.join(", ")),
            );
        }
    }
    Ok(options)
}

fn judge(name: &str, value: &str, members: &[String]) -> Result<(), Fault> {
    let Some((_, values, _)) = OPTIONS.iter().find(|(known, _, _)| *known == name) else {
        let known: Vec<&str> = OPTIONS.iter().map(|(known, _, _)| *known).collect();
        return fault(
            format!("{name:?} is not an option of a bond that is known here"),
            format!("give some of {}, as `mode=802.3ad,lacp_rate=fast`", known.join(", ")),
        );
    };
    let (is_good, hint) = match values {
        Values::Words(words) => {
            (words.contains(&value), format!("give one of {}", words.join(", ")))
        }
        Values::Number => (
            (1..=5).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()),
            "give milliseconds, as `100`".to_owned(),
        ),
        Values::Member => (
            members.iter().any(|member| member == value),
            format!("give one of {}", members.join(", ")),
        ),
    };
    if is_good { Ok(()) } else { fault(format!("{value:?} is not a value of {name}"), hint) }
}
