//! Feeds one reader with made-up bytes: `REMASTER_FUZZ` names it, arguments are those of libFuzzer.
//! With `REMASTER_FUZZ_SEEDS`, it writes the inputs to start from into that folder first.

#![no_main]

mod drivers;

use std::sync::OnceLock;

use drivers::Target;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("REMASTER_FUZZ").unwrap_or_default();
    let chosen = drivers::TARGETS.iter().find(|target| target.name == name);
    let chosen = chosen.unwrap_or_else(|| panic!("REMASTER_FUZZ names no target: {name:?}"));
    if let Some(folder) = std::env::var_os("REMASTER_FUZZ_SEEDS") {
        let folder = std::path::Path::new(&folder);
        for (number, seed) in (chosen.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
    let _ = CHOSEN.set(chosen);
}

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    (CHOSEN.get().unwrap().run)(data);
});
