//! The values of options as sshd reads them: with some it skips the line, by others it lets nobody in (`auth-options.c`,
//! `addrmatch.c`, `match.c` and `misc.c` of OpenSSH 10).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::LineError;

/// Numbers of tunnel devices (`SSH_TUNID_MAX` in OpenSSH).
const LAST_TUNNEL: i64 = 0x7fff_fffd;

/// Characters of a value that is shown.
const SHOWN: usize = 64;

const SKIPPED: &str = "with which sshd skips the line";

/// Refuses a value with which nobody gets in. `value` is without its quotes.
pub(super) fn check(option: &str, value: &str) -> Result<(), LineError> {
    let refused = |why: String, hint| {
        Err(LineError::malformed(format!("found {} {why}", shown(option, value)), hint))
    };
    match option {
        "permitopen" | "permitlisten" => match permit_flaw(value, option == "permitlisten") {
            Some(why) => refused(format!("{why}, {SKIPPED}"), PERMIT),
            None => Ok(()),
        },
        "tunnel" if !is_tunnel(value) => refused(
            format!("that is neither a number of a device nor any, {SKIPPED}"),
            "write the number of the tunnel device, as tunnel=\"0\", or tunnel=\"any\"",
        ),
        "environment" if !is_variable(value) => refused(
            format!("that is not NAME=VALUE with a name of letters, digits and _, {SKIPPED}"),
            "write environment=\"NAME=VALUE\"",
        ),
        "from" => from_flaw(value).map_or(Ok(()), |why| refused(why, FROM)),
        "principals" if value.split(',').all(str::is_empty) => refused(
            "that names nobody, so that sshd lets nobody in".to_owned(),
            "name those in the certificates, as principals=\"alice,bob\"",
        ),
        _ => Ok(()),
    }
}

const PERMIT: &str = "write HOST:PORT in the quotes, with a number from 1 to 65535 or * for the port; [HOST]:PORT for an IPv6 address";

const FROM: &str = "write addresses with commas between them, as from=\"10.0.0.0/8,fd00::/8\", and no bits behind the length of a network";

/// The option as it stands in the line, if nothing in it may be a secret.
fn shown(option: &str, value: &str) -> String {
    let is_plain = |c: char| c == ' ' || (c.is_ascii_graphic() && c != '"');
    let is_short = value.len() <= SHOWN && value.chars().all(is_plain);
    if is_short && option != "environment" {
        format!("{option}=\"{value}\"")
    } else {
        format!("{option}=\"…\"")
    }
}

/// What is wrong with a host and a port (`handle_permit`, which splits by `hpdelim2`).
fn permit_flaw(value: &str, may_be_port: bool) -> Option<&'static str> {
    if may_be_port && !value.contains(':') {
        return (!is_port(value)).then_some(NO_PORT);
    }
    let end = if value.starts_with('[') {
        let Some((host, _)) = value.split_once(']') else { return Some("whose [ is not closed") };
        host.len().checked_add(1)?
    } else {
        value.find([':', '/']).unwrap_or(value.len())
    };
    let (_, rest) = value.split_at_checked(end)?;
    match rest.strip_prefix([':', '/']) {
        _ if rest.is_empty() => Some("without a port"),
        None => Some("with something behind the ]"),
        Some(port) => (!is_port(port)).then_some(NO_PORT),
    }
}

const NO_PORT: &str =
    "whose port is neither a number from 1 to 65535, nor the name of a service, nor *";

/// A port of `a2port`, or the name of a service, which NixOS looks up in its `/etc/services`.
fn is_port(text: &str) -> bool {
    let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"-_+.".contains(&b);
    let is_name =
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_of_name);
    text == "*" || is_name || number(text, 65_535).is_some_and(|port| port > 0)
}

/// A number as `strtonum` of BSD reads it, from 0 on.
fn number(text: &str, most: i64) -> Option<i64> {
    let digits = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    digits.parse().ok().filter(|number| (0..=most).contains(number))
}

fn is_tunnel(value: &str) -> bool {
    value.eq_ignore_ascii_case("any") || number(value, LAST_TUNNEL).is_some()
}

fn is_variable(value: &str) -> bool {
    let is_word = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    value.split_once('=').is_some_and(|(name, _)| !name.is_empty() && is_word(name))
}

/// Why a list of patterns matches no client. sshd compares names only with `UseDNS`, which is off by default.
fn from_flaw(value: &str) -> Option<String> {
    let mut any = false;
    for part in value.split(',') {
        let (pattern, is_negated) =
            part.strip_prefix('!').map_or((part, false), |rest| (rest, true));
        if pattern.is_empty() {
            return Some("with an empty part, for which sshd lets nobody in".to_owned());
        }
        if let Some(why) = network_flaw(pattern) {
            return Some(format!("{why}, for which sshd lets nobody in"));
        }
        if is_negated && pattern.bytes().all(|b| b == b'*') {
            return Some("whose ! is for everybody, so that sshd lets nobody in".to_owned());
        }
        any |= !is_negated && matches_addresses(pattern);
    }
    let why = "that matches no address, so that sshd lets nobody in: it compares names only with UseDNS, which is off";
    (!any).then(|| why.to_owned())
}

/// An address with a length, and the bits that an address has.
fn network(pattern: &str) -> Option<(u128, u32, u32)> {
    let (address, length) = pattern.split_once('/')?;
    let length = u32::try_from(number(length, i64::from(i32::MAX))?).ok()?;
    let (bits, width) = address_of(address)?;
    Some((bits, length, width))
}

fn network_flaw(pattern: &str) -> Option<&'static str> {
    let (bits, length, width) = network(pattern)?;
    let Some(rest) = width.checked_sub(length) else {
        return Some("with a network whose length is larger than an address");
    };
    let behind = 1_u128.checked_shl(rest).map_or(u128::MAX, |end| end.wrapping_sub(1));
    (bits & behind != 0).then_some("with an address that has bits behind the length of its network")
}

/// An address and its bits, as `getaddrinfo` reads it without looking names up.
fn address_of(text: &str) -> Option<(u128, u32)> {
    let plain = text.split_once('%').map_or(text, |(address, _)| address);
    if let Ok(six) = plain.parse::<Ipv6Addr>() {
        return Some((six.to_bits(), 128));
    }
    Some((u128::from(short_ipv4(text)?.to_bits()), 32))
}

/// An address in the forms of `inet_aton`: the last of up to four numbers fills the rest.
fn short_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(c_number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let used = u32::try_from(first.len()).ok().filter(|used| *used < 4)?;
    let room = 32_u32.checked_sub(used.checked_mul(8)?)?;
    if first.iter().any(|part| *part > 255) || u64::from(*last) >= 1_u64.checked_shl(room)? {
        return None;
    }
    let shifts = [24_u32, 16, 8];
    let high = first.iter().zip(shifts).fold(0, |sum, (part, shift)| sum | part << shift);
    Some(Ipv4Addr::from_bits(high | last))
}

/// A number with C's prefixes for octal and hexadecimal.
fn c_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    u32::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))
}

/// Whether a pattern may match the text of an address: it is one, a network, or has `*` or `?` among their characters.
fn matches_addresses(pattern: &str) -> bool {
    let is_of_addresses = |b: u8| b.is_ascii_hexdigit() || b".:*?".contains(&b);
    let has_sign = pattern.contains(['*', '?']);
    let text = pattern.split_once('%').map_or(pattern, |(text, _)| text);
    address_of(pattern).is_some()
        || network(pattern).is_some()
        || (has_sign && text.bytes().all(is_of_addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value, and whether a real sshd (OpenSSH 9.2) lets a client at 127.0.0.1 in by a line with it.
    const ROWS: [(&str, &str, bool); 64] = [
        ("permitopen", "localhost", false),
        ("permitopen", "localhost:22", true),
        ("permitopen", "localhost:0", false),
        ("permitopen", "h:99999", false),
        ("permitopen", "h:*", true),
        ("permitopen", "none", false),
        ("permitopen", "[::1]:22", true),
        ("permitopen", "[::1]", false),
        ("permitopen", "[::1:22", false),
        ("permitopen", "[::1]x:22", false),
        ("permitopen", "::1:22", false),
        ("permitopen", "h/22", true),
        ("permitopen", ":22", true),
        ("permitopen", "h: 22", true),
        ("permitopen", "h:+22", true),
        ("permitopen", "", false),
        ("permitlisten", "x:", false),
        ("permitlisten", "8080", true),
        ("permitlisten", "*", true),
        ("permitlisten", "localhost:8080", true),
        ("permitlisten", "h:-x", false),
        ("permitlisten", "h/22", false),
        ("tunnel", "abc", false),
        ("tunnel", "0", true),
        ("tunnel", "ANY", true),
        ("tunnel", "-1", false),
        ("tunnel", "2147483645", true),
        ("tunnel", "2147483646", false),
        ("tunnel", "", false),
        ("environment", "NOEQUALS", false),
        ("environment", "1 X", false),
        ("environment", "1=X", true),
        ("environment", "=X", false),
        ("environment", "A-B=c", false),
        ("environment", "A_b=", true),
        ("from", "127.0.0.1", true),
        ("from", "127.0.0.0/8", true),
        ("from", "127.0.0.1/8", false),
        ("from", "127.0.0.0/33", false),
        ("from", "127.0.0.0/200", false),
        ("from", "127/8", false),
        ("from", "127.0/8", true),
        ("from", "127.1", true),
        ("from", "0x7f.0.0.1", true),
        ("from", "127.*", true),
        ("from", "12?.0.0.1", true),
        ("from", "", false),
        ("from", "127.0.0.1,", false),
        ("from", "!", false),
        ("from", "!*", false),
        ("from", "!*,*", false),
        ("from", "!10.0.0.1", false),
        ("from", "!10.0.0.1,*", true),
        ("from", "10.0.0.0/255.0.0.0", false),
        ("from", "localhost", false),
        ("from", "*.example.org", false),
        ("from", "laptop,127.0.0.1", true),
        ("from", "127.0.0.1,10.0.0.1/8", false),
        ("from", "127.0.0.1, 10.0.0.1", true),
        ("from", " 127.0.0.1", false),
        ("from", "fd00::/8,127.0.0.1", true),
        ("from", "fd00::1/8,127.0.0.1", false),
        ("from", "fe80::1%lo,127.0.0.1", true),
        ("from", "0.0.0.0/0", true),
    ];

    #[test]
    fn a_value_is_refused_if_sshd_lets_nobody_in_with_it() {
        for (option, value, lets_in) in ROWS {
            let found = check(option, value);
            assert_eq!(found.is_ok(), lets_in, "{option}={value}: {found:?}");
        }
        assert!(check("from", "192.168.0.0/16").is_ok() && check("principals", "a,b").is_ok());
        assert!(check("principals", "").is_err() && check("principals", ",").is_err());
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (option, value) in [("environment", "SECRET"), ("tunnel", &"SECRET".repeat(20))] {
            let told = format!("{:?}", check(option, value).unwrap_err());
            assert!(!told.contains("SECRET") && told.contains(option), "{told}");
        }
    }
}
