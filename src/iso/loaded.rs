//! Whether every entry that starts NixOS loads what was put in: the hook of its initrd, and the payload behind that. For
//! images that are made, and for those that are looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::boot::config::Config;
use crate::boot::folder::Folder;
use crate::boot::hook_check::{self, MadeBy};
use crate::boot::stage_one::Initrd;
use crate::checked;
use crate::error::Result;
use crate::formats::boot_config::{Entry, volume_path};
use crate::formats::newc::Member;
use crate::image::ReadAt;
use crate::image::check::Check;
use crate::iso::injected::LARGEST_PAYLOAD;
use crate::iso::plan::relabel::{self, Renamed};
use crate::iso::survey::Survey;
use crate::iso::survey::nixos::initrd_place;
use crate::units::{ByteRange, DISK_BLOCK, beyond, u64_len};

/// The name of the check in reports.
pub const NAME: &str = "what was put in";

/// The argument of the kernel that says what runs behind the initrd.
const STARTED: &str = "init=";

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct LoadCheck<'a, I> {
    /// The image.
    pub image: &'a I,
    /// Its facts.
    pub now: &'a Survey,
    /// Those of its base.
    pub base: &'a Survey,
    /// The base's initrds.
    pub initrds: &'a [Initrd],
    /// Where what was put in stands on the volume.
    pub folder: &'a Folder,
    /// What made the image.
    pub made_by: MadeBy,
}

/// Whether something was put into initrds: without a payload, an image differs by its menus alone.
pub fn has_payload(now: &Survey, folder: &Folder) -> bool {
    now.tree().file(&folder.payload()).is_some()
}

impl<I: ReadAt> LoadCheck<'_, I> {
    /// The check; none where nothing was put into initrds.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn run(&self) -> Result<Option<Check>> {
        if !has_payload(self.now, self.folder) {
            return Ok(None);
        }
        let fault = self.first_fault()?;
        let entries: usize = self.now.configs.iter().map(|config| config.entries.len()).sum();
        let right = || format!("{entries} entries load the hook of their initrd, and the payload");
        Ok(Some(Check { name: NAME, ok: fault.is_none(), detail: fault.unwrap_or_else(right) }))
    }

    fn first_fault(&self) -> Result<Option<String>> {
        let path = self.folder.payload();
        let payload = self.bytes(&path)?;
        let attached = self.folder.all_attached(self.now.tree().paths());
        let attached: Vec<String> = attached.into_iter().map(str::to_owned).collect();
        if let Err(fault) = hook_check::check_payload(&payload, &attached, self.made_by) {
            return Ok(Some(format!("{path} {fault}")));
        }
        let hooks = match self.hooks() {
            Ok(hooks) => hooks,
            Err(fault) => return Ok(Some(fault)),
        };
        let renamed = self.renamed()?;
        if hooks.is_empty() {
            return self.first_merged_fault(&payload, &renamed);
        }
        for (path, of) in hooks {
            let bytes = self.bytes(&path)?;
            for initrd in self.initrds.iter().filter(|initrd| of.contains(&initrd.path)) {
                let again = renamed.get(&initrd.path).map_or(&[][..], Vec::as_slice);
                if let Err(fault) = hook_check::check_hook(&bytes, initrd, again, self.made_by) {
                    let of = &initrd.path;
                    return Ok(Some(format!("{path}, which is the hook of {of}, {fault}")));
                }
            }
        }
        Ok(None)
    }

    /// The files that the initrds get again for another label.
    fn renamed(&self) -> Result<Renamed> {
        let now = self.now.volume.identifier();
        if now == self.base.volume.identifier() {
            return Ok(Renamed::new());
        }
        relabel::renamed_tables(self.image, self.base, &now)
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let at = initrd_place(self.now.tree(), path)?;
        self.image.read_range(path, at, LARGEST_PAYLOAD)
    }

    /// The hooks that entries load by name, each with the initrds that it stands behind; none where no entry does. Or
    /// what is wrong with an entry.
    fn hooks(&self) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
        let pairs = pairs(&self.base.configs, &self.now.configs)?;
        let named = pairs.iter().any(|(_, old, new)| paths(old) != paths(new));
        let payload = self.folder.payload();
        let mut hooks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (config, old, new) in pairs {
            check_started(config, old, new)?;
            let (own, all) = (paths(old), paths(new));
            match all.strip_prefix(own.as_slice()) {
                Some([]) if !named => {}
                Some([hook, last]) if *last == payload && self.folder.holds(hook) => {
                    hooks.entry(hook.clone()).or_default().extend(own.last().cloned());
                }
                _ => {
                    let loads = all.join(", ");
                    let fault = format!(
                        "loads {loads}, not its initrd with a hook and the payload behind it"
                    );
                    return Err(of_entry(config, new, &fault));
                }
            }
        }
        Ok(hooks)
    }

    /// What is wrong with the first initrd that does not end with its hook and the payload.
    fn first_merged_fault(&self, payload: &[u8], renamed: &Renamed) -> Result<Option<String>> {
        for initrd in self.initrds {
            let at = initrd_place(self.now.tree(), &initrd.path)?;
            let own = checked::round_up(initrd.at.size(), DISK_BLOCK, "the place of a hook")?;
            let start = checked::sum(at.start(), own, "the place of a hook")?;
            let more = beyond(at.end(), start);
            let more = checked::range(start, more, "what is behind an initrd")?;
            let again = renamed.get(&initrd.path).map_or(&[][..], Vec::as_slice);
            if let Err(fault) = self.check_behind((initrd, again), more, payload)? {
                let path = &initrd.path;
                return Ok(Some(format!("{path}, behind the initrd of the base, {fault}")));
            }
        }
        Ok(None)
    }

    /// Whether a hook and the payload stand there; what is wrong otherwise, as a predicate.
    fn check_behind(
        &self,
        (initrd, again): (&Initrd, &[Member]),
        more: ByteRange,
        payload: &[u8],
    ) -> Result<Result<(), String>> {
        if more.size() < u64_len(payload) || more.end() > self.image.size() {
            return Ok(Err("has no hook and no payload".to_owned()));
        }
        let bytes = self.image.read_range(&initrd.path, more, LARGEST_PAYLOAD)?;
        let Some(hook) = bytes.strip_suffix(payload) else {
            return Ok(Err("has something else than the payload".to_owned()));
        };
        Ok(hook_check::check_hook(hook, initrd, again, self.made_by))
    }
}

/// The paths of the initrds of an entry.
fn paths(entry: &Entry) -> Vec<String> {
    entry.initrds.iter().map(|word| volume_path(&word.text)).collect()
}

fn of_entry(config: &Config, entry: &Entry, fault: &str) -> String {
    format!("the entry {:?} of {} {fault}", entry.path(), config.path)
}

/// Whether an entry starts the kernel and the programs that it starts in the base.
fn check_started(config: &Config, old: &Entry, new: &Entry) -> Result<(), String> {
    let (from, to) = (&old.kernel.text, &new.kernel.text);
    if from != to {
        return Err(of_entry(config, new, &format!("loads the kernel {to}, not {from}")));
    }
    let all = |entry: &Entry| -> Vec<String> {
        entry.words().filter(|word| word.starts_with(STARTED)).map(str::to_owned).collect()
    };
    let (from, to) = (all(old), all(new));
    if from == to {
        return Ok(());
    }
    let shown = |words: &[String]| match words {
        [] => format!("no {STARTED}"),
        words => words.join(" "),
    };
    let fault = format!("has {}, in the base {}", shown(&to), shown(&from));
    Err(of_entry(config, new, &fault))
}

/// The entries of a base and what they became, with their menus.
type Pairs<'a> = Vec<(&'a Config, &'a Entry, &'a Entry)>;

fn pairs<'a>(base: &'a [Config], now: &'a [Config]) -> Result<Pairs<'a>, String> {
    check_shape(base, now)?;
    let pairs = base.iter().zip(now).flat_map(|(old, new)| {
        old.entries.iter().zip(&new.entries).map(move |(was, is)| (new, was, is))
    });
    Ok(pairs.collect())
}

/// Whether the menus are those of the base, with as many entries each.
pub(super) fn check_shape(base: &[Config], now: &[Config]) -> Result<(), String> {
    let shape = |configs: &[Config]| -> Vec<_> {
        let each = |config: &Config| (config.path.clone(), config.entries.len());
        configs.iter().map(each).collect()
    };
    let (old, new) = (shape(base), shape(now));
    if old == new {
        return Ok(());
    }
    Err(format!("the menus and their entries are {new:?}, in the base {old:?}"))
}
