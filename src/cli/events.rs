//! `flash`, `format`, `reset` and `verify` print events with `--json`: one JSON object per line on standard output. Errors for
//! people still go to standard error, and so do errors of the arguments (exit status 2 without any event).
//!
//! Each event has `v` and `event`, its name. `v` is 1. A new field may come at any time; `v` is raised when one goes or
//! changes its meaning. All numbers are bytes, bytes per second or seconds.

use serde_json::{Map, Value};

/// Version of the events; raised when a field changes its meaning or goes.
pub(crate) const VERSION: u32 = 1;

/// Once per host key that is put in, first. `alias` and `public` make a line of a `known_hosts` file.
/// - `alias`: the name of the machine in a `known_hosts` file
/// - `algorithm`: as `ssh-ed25519`
/// - `fingerprint`: as `SHA256:…`
/// - `public`: the public half, as a `known_hosts` file has it behind the name
/// - `file`: the `known_hosts` file that is written
pub(crate) const HOST_KEY: &str = "host_key";

/// Once per note that people read on standard error, when it is known, also what a run that failed left on a target.
/// - `note`: the text
pub(crate) const NOTE: &str = "note";

/// Once per thing that was put into the image before and is not given again, first (`flash`).
/// - `name`: as a recipe names it, as `hostname`; `key given again` where a key is given again with other options, or for other users
/// - `value`: as a recipe has it, a fingerprint or a path; empty for what is secret
/// - `entries`: the menu entries (`count`, `of`, `names`) in which that was so; null if in all, or if it is not about menus
/// - `security`: what opens a wireless network: `WPA2`, `WPA3` or `open`; null for anything else
pub(crate) const TAKEN_OUT: &str = "taken_out";

/// Once per thing that is put in now, first (`flash`).
/// - `name`: as a recipe names it, as `hostname`
/// - `value`: as a recipe has it, a fingerprint or a path; empty for what is secret
/// - `entries`: the menu entries (`count`, `of`, `names`) in which that is so; null if in all, or if it is not about menus
/// - `security`: what opens a wireless network: `WPA2`, `WPA3` or `open`; null for anything else
pub(crate) const PUT_IN: &str = "put_in";

/// A stage begins.
/// - `target`: the disk or file; empty where it is about the image
/// - `stage`: `unpack`, `hash`, `probe`, `compare`, `write`, `wipe` or `verify`
/// - `done`: bytes that are on the medium (`write`) or were read from it
/// - `total`: bytes of the stage; null if that is not known
/// - `rate`: bytes per second
/// - `seconds_left`: until the stage ends; null if that is not known
/// - `seconds_left_in_all`: until all stages end; null if that is not known
pub(crate) const BEGIN: &str = "begin";

/// At most four times a second.
/// - as `begin`
pub(crate) const PROGRESS: &str = "progress";

/// A stage is over.
/// - as `begin`
pub(crate) const END: &str = "end";

/// Bytes that are not what was meant; all of them, in order.
/// - `target`: the disk or file
/// - `at`: the first byte
/// - `bytes`: how many
/// - `likely`: its `cause`: `zeros`, `ones`, `wrapped`, `misdirected` and `copied` (with `from`: the address whose data is here), `flipped` (with `bits`), `burst`, `unstable`, `unreadable`, `mounted` (a system mounted it since it was written), `other`
pub(crate) const DIFFERENCE: &str = "difference";

/// Once per target, last (`flash`, `format`). With `"ok": false` it has `target`, `ok`, `exit`, `error` and `hint` alone.
/// - `target`: the disk or file
/// - `ok`: whether it is as was asked for
/// - `exit`: the exit status that the program would have with this target alone
/// - `error`: why it failed; only with `"ok": false`
/// - `hint`: what to do about it, or null; only with `"ok": false`
/// - `size`: of the image; of the disk for `format`
/// - `written`: bytes written
/// - `compared`: bytes read back
/// - `delta`: whether only what differed was written
/// - `sampled`: whether a delta compared only the start, what was put in before or now, and samples of the rest
/// - `cut_off`: bytes behind the image that a delta cut off a file
/// - `direct`: whether the page cache was passed
/// - `verified`: whether what was to be read back was read and is right: everything, or with `--verify=quick` the start, the end and what was put in
/// - `backup_gpt_at`: where the backup GPT is now, or null
/// - `note`: what the image lacks without being truncated, or null
/// - `digest_of`: which bytes have the SHA-256 that was demanded, or that stood beside the image: `packed` ones or those of the `image`; or null
/// - `probe_seconds`: how long the test of the size took, or null
/// - `write_seconds`: how long writing took
/// - `verify_seconds`: how long reading back took, or null
/// - `partitions_seen`: whether the kernel shows the new partitions
/// - `ejected`: whether the stick is without power
/// - `opened_by`: `permission` or `udisks2`
pub(crate) const RESULT: &str = "result";

/// The target, a file or a stick, is the base again, last (`reset`).
/// - `target`: the disk or file
/// - `size`: of the base
/// - `sha256`: of the base
/// - `known_by`: how its SHA-256 is known: `demanded`, its `manifest`, the `mark` of a reset that was interrupted, or of the first mebibyte only (`head`), or null
pub(crate) const RESET: &str = "reset";

/// The medium is what its manifest says (`verify` without `--against`). If nothing but a SHA-256 was demanded, all others are null.
/// - `target`: the disk or file
/// - `recipe_id`: the recipe id of its manifest
/// - `content_id`: the content id of its manifest
/// - `recipe`: the content id, as version 1 of manifests called it
/// - `edits`: the digest of the edits
/// - `signer`: the principal by whom it is signed, or null
/// - `sha256`: that of the file if one was demanded, or null
pub(crate) const VERIFIED: &str = "verified";

/// Instead of results, last: the program ends before it could write to any target, or because the image cannot be read; for
/// `verify`, it could not compare, or it found differences and has named them all.
/// - `exit`: the exit status
/// - `error`: what is wrong
/// - `hint`: what to do about it, or null
pub(crate) const ERROR: &str = "error";

/// An event of that name with these fields.
pub(super) fn named(name: &str, fields: Value) -> Value {
    let mut event = Map::new();
    event.insert("v".into(), VERSION.into());
    event.insert("event".into(), name.into());
    if let Value::Object(fields) = fields {
        event.extend(fields);
    }
    Value::Object(event)
}
