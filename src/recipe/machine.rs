//! Machines that one image is for: by what each is known, and what it gets that the others do not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Recipe, list};
use crate::error::Result;

/// A machine, and what it gets in the place of what all get.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Machine {
    /// MAC address of one of its interfaces, as `52:54:00:12:34:56`; any of several
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub mac: Vec<String>,
    /// Serial number that its firmware tells, as `dmidecode -s system-serial-number` shows it; any of several
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub dmi_serial: Vec<String>,
    /// As `hostname` of a recipe
    pub hostname: Option<String>,
    /// As `address` of a recipe
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub address: Vec<String>,
    /// As `gateway` of a recipe
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub gateway: Vec<String>,
    /// As `bond` of a recipe
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub bond: Vec<String>,
    /// As `mtu` of a recipe
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub mtu: Vec<String>,
    /// As `dns` of a recipe
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub dns: Vec<String>,
    /// As `host-key` of a recipe
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub host_key: Vec<String>,
    /// As `key` of a recipe, but for keys that are fetched or typed
    #[serde(deserialize_with = "list::strings")]
    #[schemars(schema_with = "list::schema")]
    pub key: Vec<String>,
    /// As `run` of a recipe
    #[serde(deserialize_with = "list::paths")]
    #[schemars(schema_with = "list::schema")]
    pub run: Vec<PathBuf>,

    /// Where its keys stand in the file, and each element of their lists, as in a recipe.
    #[serde(skip)]
    pub(super) places: BTreeMap<String, Vec<String>>,
}

impl Machine {
    /// The names of what a machine can have.
    pub(super) const KEYS: [&str; 11] = [
        "mac",
        "dmi-serial",
        "hostname",
        "address",
        "gateway",
        "bond",
        "mtu",
        "dns",
        "host-key",
        "key",
        "run",
    ];

    /// What it gets that others do not, as a recipe.
    pub(crate) fn own(&self) -> Recipe {
        let Self {
            mac: _,
            dmi_serial: _,
            hostname,
            address,
            gateway,
            bond,
            mtu,
            dns,
            host_key,
            key,
            run,
            places,
        } = self.clone();
        Recipe {
            key,
            host_key,
            hostname,
            address,
            gateway,
            bond,
            mtu,
            dns,
            run,
            places,
            ..Recipe::default()
        }
    }

    /// The same with relative paths as `below` makes them.
    pub(super) fn with_paths(
        &mut self,
        below: impl FnOnce(Recipe) -> Result<Recipe>,
    ) -> Result<()> {
        let Recipe { host_key, key, run, .. } = below(self.own())?;
        (self.host_key, self.key, self.run) = (host_key, key, run);
        Ok(())
    }
}

impl Recipe {
    /// Whether somebody's key is let in, at least on one machine.
    pub fn names_key(&self) -> bool {
        !self.key.is_empty() || self.machine.iter().any(|machine| !machine.key.is_empty())
    }

    /// Whether a host key is put in, at least for one machine.
    pub fn names_host_key(&self) -> bool {
        !self.host_key.is_empty() || self.machine.iter().any(|machine| !machine.host_key.is_empty())
    }

    /// Whether one of these keys is generated, and not given.
    pub(crate) fn generates_host_key(&self) -> bool {
        let own = self.machine.iter().flat_map(|machine| &machine.host_key);
        self.host_key.iter().chain(own).any(|given| given.starts_with("generate"))
    }

    /// The same with all that is run at boot, also on some machines only, each once.
    pub(crate) fn with_all_runs(&self) -> Self {
        let mut all = self.clone();
        for machine in &self.machine {
            for (index, path) in machine.run.iter().enumerate() {
                if all.run.contains(path) {
                    continue;
                }
                let place = machine.places.get("run").and_then(|places| places.get(index));
                let places = all.places.entry("run".to_owned()).or_default();
                places.resize(all.run.len(), String::new());
                places.push(place.cloned().unwrap_or_default());
                all.run.push(path.clone());
            }
        }
        all
    }

    /// The conditions on which a unit runs this at boot: marks of machines below /run. The conditions with `|` are
    /// alternatives (systemd.unit(5), "Conditions and Asserts"). A machine that names what it runs, runs nothing else.
    pub(crate) fn run_conditions(&self, path: &PathBuf) -> String {
        let for_all = self.run.contains(path);
        let sign = if for_all { "!" } else { "|" };
        let machines = (1_usize..).zip(&self.machine);
        let differs = machines.filter(|(_, machine)| {
            !machine.run.is_empty() && machine.run.contains(path) != for_all
        });
        let line =
            |(number, _)| format!("ConditionPathExists={sign}/run/remaster/machine/{number}\n");
        differs.map(line).collect()
    }
}
