//! Whether every entry that starts NixOS loads what was put in: the hook of its initrd, and the payload behind that. For
//! images that are made, and for those that are looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::boot::config::Config;
use crate::boot::folder::Folder;
use crate::boot::hook;
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::Result;
use crate::formats::boot_config::{Entry, volume_path};
use crate::image::ReadAt;
use crate::image::check::Check;
use crate::iso::injected::LARGEST_PAYLOAD;
use crate::iso::survey::Survey;
use crate::iso::survey::nixos::initrd_place;
use crate::units::{ByteRange, DISK_BLOCK, beyond, u64_len};

/// What it is called.
pub const NAME: &str = "what was put in";

/// The check; none where nothing was put into initrds. `below` is the base, and `initrds` are its own.
///
/// # Errors
/// The image cannot be read.
pub fn check<I: ReadAt>(
    image: &I,
    now: &Survey,
    below: &Survey,
    initrds: &[Initrd],
    folder: &Folder,
) -> Result<Option<Check>> {
    if !has_payload(now, folder) {
        return Ok(None);
    }
    let payload = folder.payload();
    let look = Look { image, now, below, initrds, folder, payload };
    let wrong = look.wrong()?;
    let entries: usize = now.configs.iter().map(|config| config.entries.len()).sum();
    let right = || format!("{entries} entries load the hook of their initrd, and the payload");
    let check = Check { name: NAME, ok: wrong.is_none(), detail: wrong.unwrap_or_else(right) };
    Ok(Some(check))
}

/// Whether something was put into initrds: without a payload, an image differs by its menus alone.
pub fn has_payload(now: &Survey, folder: &Folder) -> bool {
    now.tree().file(&folder.payload()).is_some()
}

/// What is looked at.
struct Look<'a, I> {
    image: &'a I,
    now: &'a Survey,
    below: &'a Survey,
    initrds: &'a [Initrd],
    folder: &'a Folder,
    payload: String,
}

impl<I: ReadAt> Look<'_, I> {
    /// The first thing that is wrong.
    fn wrong(&self) -> Result<Option<String>> {
        let payload = self.bytes(&self.payload)?;
        if let Some(fault) = hook::fault_of_payload(&payload) {
            return Ok(Some(format!("{} has {fault}", self.payload)));
        }
        let hooks = match self.hooks() {
            Ok(hooks) => hooks,
            Err(wrong) => return Ok(Some(wrong)),
        };
        if hooks.is_empty() {
            return self.merged(&payload);
        }
        for (path, of) in hooks {
            let bytes = self.bytes(&path)?;
            let of = self.initrds.iter().filter(|initrd| of.contains(&initrd.path));
            let faults =
                of.filter_map(|initrd| Some((hook::fault_of_hook(&bytes, initrd)?, &initrd.path)));
            if let Some((fault, initrd)) = faults.into_iter().next() {
                return Ok(Some(format!("{path}, which is the hook of {initrd}, has {fault}")));
            }
        }
        Ok(None)
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let at = initrd_place(self.now.tree(), path)?;
        self.image.read_range(path, at, LARGEST_PAYLOAD)
    }

    /// The hooks that entries load by name, each with the initrds that it stands behind; none where no entry does. Or
    /// what is wrong with an entry.
    fn hooks(&self) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
        let pairs = pairs(&self.below.configs, &self.now.configs)?;
        let named = pairs.iter().any(|(_, was, is)| paths(was) != paths(is));
        let mut hooks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (config, was, is) in pairs {
            let (own, all) = (paths(was), paths(is));
            let wrong = |what: &str| {
                let (entry, loads) = (is.path(), all.join(", "));
                Err(format!("the entry {entry:?} of {} loads {loads}, {what}", config.path))
            };
            if is.kernel.text != was.kernel.text {
                return wrong(&format!("and another kernel than {}", was.kernel.text));
            }
            match all.strip_prefix(own.as_slice()) {
                Some([]) if !named => {}
                Some([hook, last]) if *last == self.payload && self.folder.holds(hook) => {
                    hooks.entry(hook.clone()).or_default().extend(own.last().cloned());
                }
                _ => return wrong("not its initrd with a hook and the payload behind it"),
            }
        }
        Ok(hooks)
    }

    /// Whether every initrd ends with its hook and the payload: what is wrong with one.
    fn merged(&self, payload: &[u8]) -> Result<Option<String>> {
        for initrd in self.initrds {
            let at = initrd_place(self.now.tree(), &initrd.path)?;
            let own = checked::round_up(initrd.at.size(), DISK_BLOCK, "the place of a hook")?;
            let start = checked::sum(at.start(), own, "the place of a hook")?;
            let more = beyond(at.end(), start);
            let more = checked::range(start, more, "what is behind an initrd")?;
            if let Some(fault) = self.fault_behind(initrd, more, payload)? {
                let path = &initrd.path;
                return Ok(Some(format!("{path} has {fault} behind the initrd of the base")));
            }
        }
        Ok(None)
    }

    fn fault_behind(
        &self,
        initrd: &Initrd,
        more: ByteRange,
        payload: &[u8],
    ) -> Result<Option<String>> {
        if more.size() < u64_len(payload) || more.end() > self.image.size() {
            return Ok(Some("no hook and no payload".to_owned()));
        }
        let bytes = self.image.read_range(&initrd.path, more, LARGEST_PAYLOAD)?;
        let Some(hook) = bytes.strip_suffix(payload) else {
            return Ok(Some("something else than the payload".to_owned()));
        };
        Ok(hook::fault_of_hook(hook, initrd))
    }
}

/// The paths of the initrds of an entry.
fn paths(entry: &Entry) -> Vec<String> {
    entry.initrds.iter().map(|word| volume_path(&word.text)).collect()
}

/// The entries of a base and what they became, with their menus.
type Pairs<'a> = Vec<(&'a Config, &'a Entry, &'a Entry)>;

fn pairs<'a>(below: &'a [Config], now: &'a [Config]) -> Result<Pairs<'a>, String> {
    let shape = |configs: &[Config]| -> Vec<_> {
        let each = |config: &Config| (config.path.clone(), config.entries.len());
        configs.iter().map(each).collect()
    };
    let (was, is) = (shape(below), shape(now));
    if was != is {
        return Err(format!("the menus and their entries are {is:?}, in the base {was:?}"));
    }
    let pairs = below.iter().zip(now).flat_map(|(old, new)| {
        old.entries.iter().zip(&new.entries).map(move |(was, is)| (new, was, is))
    });
    Ok(pairs.collect())
}
