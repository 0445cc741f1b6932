//! What live systems tell of themselves by IPv6 multicast (`src/live/scripts/announce.sh`). Anybody on the link can send
//! the same, so an announcement only says which address to ask for a host key.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::address::Address;
use super::known::Known;
use crate::error::{Error, Result};

/// Of one link; transient (RFC 4291, 2.7), with a group ID of those that nobody assigns (RFC 3307, 4.3).
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0xf265, 0x6d61);

/// Behind the ports that Linux gives out by itself (up to 60999).
const PORT: u16 = 61022;

/// Bytes of an announcement.
const LONGEST: usize = 512;

/// Announcements that are read at a time: a flood of them holds up nothing else.
const MOST_AT_ONCE: usize = 64;

/// What an announcement begins with; another version begins otherwise.
const VERSION: &str = "remaster 1 ";

/// Listens for announcements.
#[derive(Debug)]
pub struct Listener {
    socket: UdpSocket,
}

/// The links of this machine, by their interfaces.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Joined {
    /// Those on which announcements are heard.
    pub heard: Vec<String>,
    /// Those on which none is, and why.
    pub unheard: Vec<String>,
}

impl Listener {
    /// Begins to listen, beside others that do.
    ///
    /// # Errors
    /// [`Error::Io`], as where there is no IPv6.
    pub fn open() -> Result<Self> {
        let open = || -> rustix::io::Result<UdpSocket> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None)?;
            sockopt::set_ipv6_v6only(&socket, true)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0))?;
            Ok(socket.into())
        };
        let socket = open().map_err(|fault| Error::io("listen for announcements")(fault.into()))?;
        Ok(Self { socket })
    }

    /// Joins the group on every link that is there by now.
    ///
    /// # Errors
    /// [`Error::Io`] where interfaces cannot be listed.
    pub fn join(&self) -> Result<Joined> {
        let mut joined = Joined::default();
        for (index, name) in links()? {
            match self.socket.join_multicast_v6(&GROUP, index) {
                // It is joined already where the address is in use.
                Err(fault) if fault.kind() != ErrorKind::AddrInUse => {
                    joined.unheard.push(format!("{name} ({fault})"));
                }
                _ => joined.heard.push(name),
            }
        }
        Ok(joined)
    }

    /// Who has announced one of these keys by now, in the order in which that came, each once.
    ///
    /// # Errors
    /// [`Error::Io`] where interfaces cannot be listed.
    pub(super) fn receive(&self, known: &[Known]) -> Result<Vec<Address>> {
        let from = senders(known, |message| match self.socket.recv_from(message) {
            Ok((length, SocketAddr::V6(sender))) => Some((length, sender)),
            // Nothing more, or a fault, which the next look meets again.
            _ => None,
        });
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let links = links()?;
        Ok(from.iter().filter_map(|sender| on_link(sender, &links)).collect())
    }
}

/// Who announces one of these keys in the messages that are there, each once. `next` gives the bytes of a message and its
/// sender.
fn senders(
    known: &[Known],
    mut next: impl FnMut(&mut [u8]) -> Option<(usize, SocketAddrV6)>,
) -> Vec<SocketAddrV6> {
    let mut from: Vec<SocketAddrV6> = Vec::new();
    let mut message = [0; LONGEST + 1];
    for _ in 0..MOST_AT_ONCE {
        let Some((length, sender)) = next(&mut message) else { break };
        let is_new = !from.iter().any(|other| other.ip() == sender.ip());
        if is_new && announces(message.get(..length).unwrap_or_default(), known) {
            from.push(sender);
        }
    }
    from
}

/// The numbers and names of interfaces, but for the loopback.
fn links() -> Result<Vec<(u32, String)>> {
    let all = if_addrs::get_if_addrs().map_err(Error::io("list network interfaces"))?;
    let others = all.into_iter().filter(|interface| !interface.is_loopback());
    let mut links: Vec<_> =
        others.filter_map(|interface| Some((interface.index?, interface.name))).collect();
    links.sort_unstable();
    links.dedup();
    Ok(links)
}

/// The sender, if it is of a link: from elsewhere no announcement comes.
fn on_link(sender: &SocketAddrV6, links: &[(u32, String)]) -> Option<Address> {
    let (_, interface) = links.iter().find(|(index, _)| *index == sender.scope_id())?;
    let is_on_link = sender.ip().is_unicast_link_local();
    is_on_link.then(|| Address::OnLink { address: *sender.ip(), interface: interface.clone() })
}

/// Whether a message is an announcement of one of the keys: `remaster 1 NAME SHA256:… SHA256:…`.
fn announces(message: &[u8], known: &[Known]) -> bool {
    let line = std::str::from_utf8(message).ok().filter(|line| line.len() <= LONGEST);
    let Some(rest) = line.and_then(|line| line.strip_suffix('\n')?.strip_prefix(VERSION)) else {
        return false;
    };
    let mut prints = rest.split(' ').skip(1);
    prints.any(|print| known.iter().any(|known| known.fingerprint == print))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const PRINT: &str = "SHA256:uPbkDzFnSDn0HiEYGi3FrfGzVY8Lo3OIR7DGSzeYOnM";

    fn known() -> [Known; 1] {
        let text = || String::from("x");
        let (alias, algorithm, key) = (text(), text(), text());
        [Known {
            alias,
            others: Vec::new(),
            algorithm,
            key,
            fingerprint: PRINT.into(),
            file: PathBuf::new(),
        }]
    }

    #[test]
    fn an_announcement_is_one_line_of_this_version_with_a_fingerprint_that_is_known() {
        let says = |message: &str| announces(message.as_bytes(), &known());
        assert!(says(&format!("remaster 1 box {PRINT}\n")));
        assert!(says(&format!("remaster 1 box SHA256:other {PRINT}\n")));
        let long = format!("remaster 1 {} {PRINT}\n", "x".repeat(LONGEST));
        for bad in [
            "",
            "\n",
            "remaster 1 box\n",
            "remaster 1 box recipe:00\n",
            &long,
            &format!("remaster 1 {PRINT}\n"),
            &format!("remaster 1 box {PRINT}"),
            &format!("remaster 1 box {PRINT}x\n"),
            &format!("remaster 1 box {PRINT}\nmore\n"),
            &format!("remaster 1 box {PRINT}\r\n"),
            &format!("remaster 2 box {PRINT}\n"),
            &format!(" remaster 1 box {PRINT}\n"),
            &format!("REMASTER 1 box {PRINT}\n"),
        ] {
            assert!(!says(bad), "{bad:?}");
        }
        assert!(!announces(b"remaster 1 \xff SHA256:x\n", &known()));
    }

    #[test]
    fn only_senders_of_a_link_that_is_there_are_asked() {
        let links = [(2, "eth0".to_owned())];
        let from = |address: &str, zone| {
            let sender = SocketAddrV6::new(address.parse().unwrap(), PORT, 0, zone);
            on_link(&sender, &links).map(|address| address.to_string())
        };
        assert_eq!(from("fe80::1", 2).as_deref(), Some("fe80::1%eth0"));
        assert_eq!(from("fe80::1", 3), None);
        assert_eq!(from("2001:db8::1", 2), None);
        assert_eq!(from("::1", 2), None);
    }

    #[test]
    fn so_many_announcements_are_read_at_a_time() {
        let line = format!("remaster 1 box {PRINT}\n");
        for (there, read) in [(MOST_AT_ONCE, MOST_AT_ONCE), (MOST_AT_ONCE + 1, MOST_AT_ONCE)] {
            let mut left = 1..=u16::try_from(there).unwrap();
            let from = senders(&known(), |message| {
                let address = [0xfe80, 0, 0, 0, 0, 0, 0, left.next()?];
                message[..line.len()].copy_from_slice(line.as_bytes());
                Some((line.len(), SocketAddrV6::new(address.into(), PORT, 0, 2)))
            });
            assert_eq!((from.len(), left.count()), (read, there - read));
        }
    }
}
