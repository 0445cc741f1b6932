//! What stage 1 of an installer mounts, without a medium: `/iso` is an empty tmpfs, and the store comes from a
//! file of the initrd, by the relative path that nixpkgs uses for it (`netboot.nix`). Everything else stays.

use std::collections::BTreeMap;

use crate::boot::stage_one::{self, StageOne};
use crate::error::{Advice, Error, Result};
use crate::formats::newc::{Kind, Member};
use crate::image::ReadAt;
use crate::units::ByteRange;

/// Where the medium is mounted.
const MEDIUM: &str = "/iso";

/// Where the store's squashfs is mounted.
const STORE: &str = "/nix/.ro-store";

/// The variable by which a systemd stage 1 knows its table (systemd `docs/ENVIRONMENT.md`).
const VARIABLE: &str = "SYSTEMD_SYSROOT_FSTAB=";

/// Options of the tmpfs: what nixpkgs gives that of the root.
const TMPFS: &str = "mode=0755";

/// New tables.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tables {
    /// The tables, as they take the place of those of the initrd.
    pub files: Vec<Member>,
    /// Path of the store's squashfs on the volume.
    pub store: String,
    /// Its path in the initrd.
    pub member: String,
}

impl Tables {
    /// Reads the tables of the initrds that one entry loads.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is not exactly one table that mounts a store from the medium.
    pub(crate) fn read<I: ReadAt>(
        image: &I,
        files: &[(&str, ByteRange)],
        stage_one: &StageOne,
    ) -> Result<Self> {
        let path = files.last().map_or("", |(path, _)| path);
        let found = stage_one::files_with(image, files, |bytes| {
            mentions(bytes, STORE) || mentions(bytes, VARIABLE)
        })?;
        let found: BTreeMap<String, Member> =
            found.into_iter().map(|file| (file.path.clone(), file)).collect();
        let named = |file: &&Member| match stage_one {
            StageOne::Scripted { script, .. } => {
                file.path.contains("-initrd-fsinfo") && mentions(script, &format!("/{}", file.path))
            }
            StageOne::Systemd { .. } => {
                found.values().filter_map(table_named).any(|named| named == file.path)
            }
        };
        let mut tables = found.values().filter(named);
        let (Some(table), None) = (tables.next(), tables.next()) else {
            return Err(unknown(path, format!("{} of them", found.values().filter(named).count())));
        };
        let text = text(table).ok_or_else(|| unknown(path, "bytes that are not UTF-8".into()))?;
        let changed = match stage_one {
            StageOne::Scripted { .. } => records(text),
            StageOne::Systemd { .. } => lines(text),
        };
        let (new, store) =
            changed.map_err(|found| unknown(&format!("{} in {path}", table.path), found))?;
        let member = base_name(&store).to_owned();
        let file = Member { kind: Kind::File(new.into_bytes()), owner: (0, 0), ..table.clone() };
        Ok(Self { files: vec![file], store, member })
    }
}

fn unknown(path: &str, found: String) -> Error {
    Error::unsupported(
        format!("what stage 1 mounts, in the initrd {path}"),
        "one table that stage 1 names, with a tmpfs or disk at /iso and at /nix/.ro-store a file below that",
        found,
    )
    .with_hint(Advice::ReportOrCredential)
}

fn mentions(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

fn text(file: &Member) -> Option<&str> {
    match &file.kind {
        Kind::File(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The table that a file tells systemd of, as a path in the initrd.
fn table_named(file: &Member) -> Option<String> {
    let rest = text(file)?.split(VARIABLE).nth(1)?.trim_start_matches(['"', '\'']);
    let end = rest.find(|c: char| c.is_whitespace() || "\"'".contains(c)).unwrap_or(rest.len());
    Some(rest.get(..end)?.trim_start_matches('/').to_owned())
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// New text, and the store's path on the volume; or what is odd.
type Changed = std::result::Result<(String, String), String>;

/// Where something is mounted in the live system.
fn place(at: &str) -> &str {
    at.strip_prefix("/sysroot").filter(|rest| rest.starts_with('/')).unwrap_or(at)
}

/// What two places of a table become.
#[derive(Default)]
struct Seen {
    medium: usize,
    stores: Vec<String>,
}

impl Seen {
    /// The file below the medium that a device is.
    fn below_medium(device: &str) -> Option<&str> {
        let path = device.strip_prefix("/sysroot").unwrap_or(device);
        path.strip_prefix(MEDIUM).filter(|rest| rest.starts_with('/'))
    }

    /// The device that takes the place of one; none if it stays.
    fn device(&mut self, at: &str, device: &str) -> std::result::Result<Option<String>, String> {
        let at = place(at);
        match (at, Self::below_medium(device)) {
            (STORE, Some(path)) => {
                self.stores.push(path.to_owned());
                Ok(Some(format!("../{}", base_name(path))))
            }
            (at, Some(_)) => Err(format!("{device} for {at}")),
            (MEDIUM, None) => {
                self.medium = self.medium.saturating_add(1);
                Ok(Some("tmpfs".to_owned()))
            }
            _ => Ok(None),
        }
    }

    fn store(self) -> std::result::Result<String, String> {
        match (self.medium, self.stores.as_slice()) {
            (1, [path]) => Ok(path.clone()),
            (mediums, stores) => {
                Err(format!("{mediums} mounts at {MEDIUM}, {} stores from there", stores.len()))
            }
        }
    }
}

/// The list of a scripted stage 1: four lines for each mount, its place, device, type and options.
fn records(text: &str) -> Changed {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let whole = lines.len().div_euclid(4).saturating_mul(4);
    let rest = lines.split_off(whole);
    if rest.iter().any(|line| !line.is_empty()) {
        return Err(format!("{} lines, no multiple of 4", whole.saturating_add(rest.len())));
    }
    let mut seen = Seen::default();
    let (quads, _) = lines.as_chunks_mut::<4>();
    for [at, device, kind, options] in quads {
        let Some(new) = seen.device(at, device)? else { continue };
        if place(at) == MEDIUM {
            "tmpfs".clone_into(kind);
            TMPFS.clone_into(options);
        }
        *device = new;
    }
    lines.extend(rest);
    Ok((lines.join("\n"), seen.store()?))
}

/// An fstab (fstab(5)). Lines that change keep what other fields they have.
fn lines(text: &str) -> Changed {
    let mut seen = Seen::default();
    let mut new = String::new();
    for line in text.split_inclusive('\n') {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let changed = match fields.as_slice() {
            [device, at, kind, options, rest @ ..] if !device.starts_with('#') => {
                let changed = seen.device(at, device)?;
                changed.map(|device| match place(at) {
                    MEDIUM => [&[device.as_str(), at, "tmpfs", &tmpfs_options(options)], rest]
                        .concat()
                        .join(" "),
                    _ => [&[device.as_str(), at, kind, options], rest].concat().join(" "),
                })
            }
            _ => None,
        };
        match changed {
            Some(fields) => new.extend([fields.as_str(), "\n"]),
            None => new.push_str(line),
        }
    }
    Ok((new, seen.store()?))
}

/// What options are for systemd stays, what is for the medium's filesystem goes.
fn tmpfs_options(options: &str) -> String {
    let kept = options.split(',').filter(|option| {
        option.starts_with("x-") && !option.starts_with("x-systemd.device-timeout")
    });
    [TMPFS].into_iter().chain(kept).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = "/\ntmpfs\ntmpfs\nmode=0755\n/iso\n/dev/root\nauto\nx-initrd.mount\n/nix/.ro-store\n/iso/nix-store.squashfs\nsquashfs\nloop,threads=multi\n/nix/store\noverlay\noverlay\nlowerdir=/nix/.ro-store";

    #[test]
    fn a_list_of_mounts_needs_no_medium() {
        let new = "/\ntmpfs\ntmpfs\nmode=0755\n/iso\ntmpfs\ntmpfs\nmode=0755\n/nix/.ro-store\n../nix-store.squashfs\nsquashfs\nloop,threads=multi\n/nix/store\noverlay\noverlay\nlowerdir=/nix/.ro-store";
        let expected = (new.to_owned(), "/nix-store.squashfs".to_owned());
        assert_eq!(records(RECORDS), Ok(expected.clone()));
        assert_eq!(records(&format!("{RECORDS}\n")), Ok((format!("{new}\n"), expected.1)));
    }

    #[test]
    fn an_fstab_needs_no_medium() {
        let old = "# a comment about /iso\n/dev/disk/by-label/x /iso auto x-initrd.mount,noauto,x-systemd.device-timeout=5 0 0\n/sysroot/iso/sub/a.squashfs /nix/.ro-store squashfs x-initrd.mount,loop 0 0\ntmpfs /nix/.rw-store tmpfs  mode=0755 0 0\n";
        let new = "# a comment about /iso\ntmpfs /iso tmpfs mode=0755,x-initrd.mount 0 0\n../a.squashfs /nix/.ro-store squashfs x-initrd.mount,loop 0 0\ntmpfs /nix/.rw-store tmpfs  mode=0755 0 0\n";
        assert_eq!(lines(old), Ok((new.to_owned(), "/sub/a.squashfs".to_owned())));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "/iso\n/dev/root\nauto",
            &RECORDS.replace("/iso\n/dev/root", "/iso2\n/dev/root"),
            &RECORDS.replace("/iso/nix-store.squashfs", "/dev/sda"),
            &RECORDS.replace("/nix/store\noverlay", "/nix/store\n/iso/other"),
            &format!("{RECORDS}\n/iso\n/dev/sr0\nauto\nro"),
            &format!("{RECORDS}\n/more"),
        ] {
            assert!(records(text).is_err(), "{text}");
        }
        for text in [
            "",
            "/dev/sda /iso auto x 0 0\n",
            "/iso/a /nix/.ro-store squashfs loop\n",
            "a /iso auto x\n/iso/b /mnt auto x\n/iso/a /nix/.ro-store squashfs loop\n",
        ] {
            assert!(lines(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_of_systemd_is_the_one_that_its_environment_names() {
        for text in [
            "ManagerEnvironment=PATH=/bin SYSTEMD_SYSROOT_FSTAB=/nix/store/x-initrd-fstab FOO=1\n",
            "ManagerEnvironment=SYSTEMD_SYSROOT_FSTAB='/nix/store/x-initrd-fstab'\n",
            "SYSTEMD_SYSROOT_FSTAB=/nix/store/x-initrd-fstab",
        ] {
            let file = Member::file("etc/systemd/system.conf", 0o444, text);
            assert_eq!(table_named(&file).as_deref(), Some("nix/store/x-initrd-fstab"));
        }
    }
}
