//! What fuzzing kept: every input of its corpus, and those it starts from, through the same functions (`tests/fuzz`).

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "../fuzz/drivers.rs"]
mod drivers;

use drivers::TARGETS;

/// The inputs that were kept, each with its target and its name.
fn corpus() -> Vec<(String, String, Vec<u8>)> {
    let packed = include_bytes!("../fuzz/corpus.tar.zst");
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed.as_slice()).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let Some((target, name)) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty())
        else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.push((target.to_owned(), name.to_owned(), bytes));
    }
    found
}

#[test]
fn what_fuzzing_kept_is_refused_or_does_no_harm() {
    let corpus = corpus();
    let mut wrong = Vec::new();
    for target in &TARGETS {
        let seeds = (target.seeds)().into_iter().enumerate();
        let mut inputs: Vec<_> = seeds.map(|(at, seed)| (format!("seed {at}"), seed)).collect();
        let kept = corpus.iter().filter(|(name, _, _)| name == target.name);
        inputs.extend(kept.map(|(_, name, bytes)| (name.clone(), bytes.clone())));
        assert!(inputs.len() > (target.seeds)().len(), "nothing is kept for {}", target.name);
        for (name, bytes) in inputs {
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err() {
                wrong.push(format!("{}: {name}", target.name));
            }
        }
    }
    let known = |name: &str| TARGETS.iter().any(|target| target.name == name);
    wrong.extend(corpus.iter().filter(|kept| !known(&kept.0)).map(|kept| kept.0.clone()));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
