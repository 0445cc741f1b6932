//! Asks udisks2 to do what the user may not do directly: open, unmount and eject disks.
//!
//! udisks2 asks polkit, which may ask the user (`UDisks2` D-Bus interfaces of udisks 2.9: Manager,
//! Block, Filesystem, Drive).

use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;

use crate::rights;

/// Why udisks2 did not do it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(
    not(feature = "udisks"),
    expect(dead_code, reason = "who is never asked refuses in one way only")
)]
pub(super) enum Refused {
    /// There is no system bus, or no udisks2 on it.
    Absent,
    /// The user may not.
    NotAuthorized(String),
    /// The user may after giving a password, but no program is there that asks for it.
    NobodyAsks(String),
    /// The user was asked and said no.
    Dismissed(String),
    /// It tried, or did not understand.
    Failed(String),
}

impl Refused {
    /// What happened.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Absent => "no permission, and there is no udisks2 on the system bus".to_owned(),
            Self::NotAuthorized(said) | Self::NobodyAsks(said) | Self::Dismissed(said) => {
                format!("no permission, and udisks2 refuses: {said}")
            }
            Self::Failed(said) => format!("no permission, and udisks2 failed: {said}"),
        }
    }

    /// What the user can do.
    pub(super) fn hint(&self) -> String {
        let sudo = rights::as_root();
        match self {
            Self::Absent => format!("{sudo}, or start udisks2"),
            Self::NotAuthorized(_) => {
                format!("{sudo}, or in a session at the machine itself, where polkit allows more")
            }
            Self::NobodyAsks(_) => format!(
                "{sudo}, or start `pkttyagent --process $$ &` in this shell, which asks for the password"
            ),
            Self::Dismissed(_) => format!("start again and give the password, or {sudo}"),
            Self::Failed(_) => sudo,
        }
    }
}

/// Opens a disk with `flags`: for reading, and for writing, too, if they say so.
pub(super) fn open(path: &Path, flags: OFlags) -> Result<File, Refused> {
    bus::open(path, flags)
}

/// Unmounts the file system of a block device.
pub(super) fn unmount(device: &Path) -> Result<(), Refused> {
    bus::unmount(device)
}

/// Puts the medium out or switches the drive off. Nobody may have it open.
pub(super) fn eject(path: &Path) -> Result<(), Refused> {
    bus::eject(path)
}

#[cfg(feature = "udisks")]
mod bus {
    use std::collections::HashMap;
    use std::fs::File;
    use std::path::Path;

    use rustix::fs::OFlags;
    use zbus::blocking::Connection;
    use zbus::message::Message;
    use zbus::zvariant::{DynamicType, OwnedFd, OwnedObjectPath, OwnedValue, Value};

    use super::Refused;

    const SERVICE: &str = "org.freedesktop.UDisks2";
    const MANAGER: &str = "/org/freedesktop/UDisks2/Manager";
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

    type Options<'a> = HashMap<&'a str, Value<'a>>;

    pub(super) fn open(path: &Path, flags: OFlags) -> Result<File, Refused> {
        let bus = connect()?;
        let object = object_of(&bus, path)?;
        let mode = if flags.contains(OFlags::RDWR) { "rw" } else { "r" };
        // It sets the access itself.
        let flags = flags.difference(OFlags::RWMODE);
        let flags = i32::try_from(flags.bits()).map_err(|fault| failed(&fault))?;
        let options = Options::from([("flags", Value::from(flags))]);
        let reply =
            call(&bus, &object, "org.freedesktop.UDisks2.Block.OpenDevice", &(mode, options))?;
        let handle: OwnedFd = reply.body().deserialize().map_err(|fault| failed(&fault))?;
        Ok(File::from(std::os::fd::OwnedFd::from(handle)))
    }

    pub(super) fn unmount(device: &Path) -> Result<(), Refused> {
        let bus = connect()?;
        let object = object_of(&bus, device)?;
        let method = "org.freedesktop.UDisks2.Filesystem.Unmount";
        call(&bus, &object, method, &(Options::new(),)).map(drop)
    }

    pub(super) fn eject(path: &Path) -> Result<(), Refused> {
        let bus = connect()?;
        let block = object_of(&bus, path)?;
        let get = format!("{PROPERTIES}.Get");
        let reply = call(&bus, &block, &get, &("org.freedesktop.UDisks2.Block", "Drive"))?;
        let drive: OwnedValue = reply.body().deserialize().map_err(|fault| failed(&fault))?;
        let drive = OwnedObjectPath::try_from(drive).map_err(|fault| failed(&fault))?;
        let put_out = |verb: &str| {
            let method = format!("org.freedesktop.UDisks2.Drive.{verb}");
            call(&bus, &drive, &method, &(Options::new(),)).map(drop)
        };
        put_out("Eject").or_else(|refused| put_out("PowerOff").map_err(|_| refused))
    }

    fn connect() -> Result<Connection, Refused> {
        Connection::system().map_err(|_| Refused::Absent)
    }

    /// The object that stands for a device node.
    fn object_of(bus: &Connection, path: &Path) -> Result<OwnedObjectPath, Refused> {
        let shown = path.to_str().ok_or_else(|| failed(&"a path that is not UTF-8"))?;
        let wanted = Options::from([("path", Value::from(shown))]);
        let manager = OwnedObjectPath::try_from(MANAGER).map_err(|fault| failed(&fault))?;
        let method = "org.freedesktop.UDisks2.Manager.ResolveDevice";
        let reply = call(bus, &manager, method, &(wanted, Options::new()))?;
        let found: Vec<OwnedObjectPath> =
            reply.body().deserialize().map_err(|fault| failed(&fault))?;
        match found.as_slice() {
            [object] => Ok(object.clone()),
            _ => Err(failed(&format!("it knows {} devices at {shown}, expected one", found.len()))),
        }
    }

    /// Calls `interface.method` of an object. There is no limit of time: the user may be asked.
    fn call(
        bus: &Connection,
        object: &OwnedObjectPath,
        method: &str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> Result<Message, Refused> {
        let (interface, member) = method.rsplit_once('.').unwrap_or_default();
        bus.call_method(Some(SERVICE), object, Some(interface), member, body).map_err(refused)
    }

    fn failed(fault: &dyn std::fmt::Display) -> Refused {
        Refused::Failed(fault.to_string())
    }

    /// Tells refusals apart by the name of the error.
    fn refused(fault: zbus::Error) -> Refused {
        let zbus::Error::MethodError(name, said, _) = fault else { return failed(&fault) };
        let said = said.unwrap_or_else(|| name.to_string());
        match name.as_str() {
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner" => Refused::Absent,
            "org.freedesktop.UDisks2.Error.NotAuthorized"
            | "org.freedesktop.DBus.Error.AccessDenied" => Refused::NotAuthorized(said),
            "org.freedesktop.UDisks2.Error.NotAuthorizedCanObtain" => Refused::NobodyAsks(said),
            "org.freedesktop.UDisks2.Error.NotAuthorizedDismissed" => Refused::Dismissed(said),
            _ => Refused::Failed(said),
        }
    }
}

#[cfg(not(feature = "udisks"))]
mod bus {
    use std::fs::File;
    use std::path::Path;

    use rustix::fs::OFlags;

    use super::Refused;

    pub(super) fn open(_: &Path, _: OFlags) -> Result<File, Refused> {
        Err(Refused::Absent)
    }

    pub(super) fn unmount(_: &Path) -> Result<(), Refused> {
        Err(Refused::Absent)
    }

    pub(super) fn eject(_: &Path) -> Result<(), Refused> {
        Err(Refused::Absent)
    }
}
