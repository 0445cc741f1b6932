//! Keeps the machine awake: locks of logind, where it is on the system bus.
//!
//! Without it nothing happens and nothing is said: what is written is verified in any case.

/// What keeps the machine awake until it is dropped.
#[derive(Debug)]
pub struct Awake {
    _locks: Vec<std::os::fd::OwnedFd>,
}

impl Awake {
    /// Asks logind for locks, which say that this program does `why`.
    pub fn hold(why: &str) -> Self {
        Self { _locks: bus::locks(why) }
    }
}

#[cfg(feature = "udisks")]
mod bus {
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;
    use std::time::Duration;

    use zbus::blocking::Connection;
    use zbus::blocking::connection::Builder;
    use zbus::zvariant;

    use crate::threads;

    /// What is kept from happening (`systemd-inhibit(1)`): sleep by itself or by a closed lid. Each has a lock of its own, as
    /// polkit may allow one and not another.
    pub(super) const WHAT: [&str; 3] = ["sleep", "idle", "handle-lid-switch"];

    /// Time for an answer. logind asks nobody.
    const TIMEOUT: Duration = Duration::from_secs(2);

    pub(super) fn locks(why: &str) -> Vec<OwnedFd> {
        let (tell, hear) = mpsc::channel();
        let why = why.to_owned();
        // It is left behind if the bus takes the connection and says nothing: that has no limit of its own.
        // Without a thread nobody is asked, as where there is no bus.
        let _ = threads::start_alone(move || {
            let bus = Builder::system().and_then(|bus| bus.method_timeout(TIMEOUT).build());
            tell.send(bus.map(|bus| locks_of(&bus, &why)).unwrap_or_default())
        });
        hear.recv_timeout(TIMEOUT).unwrap_or_default()
    }

    /// The locks that logind gives.
    pub(super) fn locks_of(bus: &Connection, why: &str) -> Vec<OwnedFd> {
        let lock = |what: &&str| -> Option<OwnedFd> {
            let reply = bus.call_method(
                Some("org.freedesktop.login1"),
                "/org/freedesktop/login1",
                Some("org.freedesktop.login1.Manager"),
                "Inhibit",
                &(what, "remaster", why, "block"),
            );
            let lock: zvariant::OwnedFd = reply.ok()?.body().deserialize().ok()?;
            Some(lock.into())
        };
        WHAT.iter().filter_map(lock).collect()
    }
}

#[cfg(not(feature = "udisks"))]
mod bus {
    use std::os::fd::OwnedFd;

    pub(super) fn locks(_: &str) -> Vec<OwnedFd> {
        Vec::new()
    }
}

#[cfg(all(test, feature = "udisks"))]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use rustix::pipe::{PipeFlags, pipe_with};
    use zbus::blocking::connection::Builder;
    use zbus::fdo;
    use zbus::zvariant;

    use super::bus::{WHAT, locks_of};
    use crate::error::{Error, Result};

    /// A logind that gives all locks but one.
    struct Logind(Sender<(Vec<String>, OwnedFd)>);

    #[zbus::interface(name = "org.freedesktop.login1.Manager")]
    impl Logind {
        fn inhibit(
            &self,
            what: String,
            who: String,
            why: String,
            mode: String,
        ) -> fdo::Result<zvariant::OwnedFd> {
            if what == "idle" {
                return Err(fdo::Error::AccessDenied("not this one".into()));
            }
            let (watched, lock) = pipe_with(PipeFlags::CLOEXEC)
                .map_err(|fault| fdo::Error::Failed(fault.to_string()))?;
            let told = self.0.send((vec![what, who, why, mode], watched));
            told.map_err(|fault| fdo::Error::Failed(fault.to_string()))?;
            Ok(lock.into())
        }
    }

    /// Whether nobody holds the other end of a pipe.
    fn is_let_go(watched: &impl AsFd) -> bool {
        rustix::io::read(watched, &mut [0_u8]) == Ok(0)
    }

    #[test]
    fn locks_that_logind_gives_are_held_until_the_end() -> Result<()> {
        let failed = |fault: zbus::Error| Error::bug(fault.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(Error::io("make a pair of sockets"))?;
        let (tell, hear) = channel();
        let server = thread::spawn(move || {
            let bus = Builder::async_io_unix_stream(theirs).server(zbus::Guid::generate())?.p2p();
            bus.serve_at("/org/freedesktop/login1", Logind(tell))?.build()
        });
        let bus = Builder::async_io_unix_stream(ours).p2p().build().map_err(failed)?;
        let _server =
            server.join().map_err(|_| Error::bug("the thread panicked"))?.map_err(failed)?;
        let locks = locks_of(&bus, "writing /dev/sdc");
        assert_eq!(locks.len(), 2);
        drop(bus);
        let mut watched = Vec::new();
        for expected in WHAT.iter().filter(|what| **what != "idle") {
            let (said, end) = hear.recv().map_err(|_| Error::bug("nothing was asked"))?;
            assert_eq!(said, [expected, "remaster", "writing /dev/sdc", "block"]);
            watched.push(end);
        }
        drop(locks);
        assert!(watched.iter().all(is_let_go));
        Ok(())
    }
}
