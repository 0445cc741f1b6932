//! What an image tells of itself holds, and who signed it is known.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use remaster::Error;
use remaster::image::digest::Digest;
use remaster::progress::Silent;
use remaster::recipe::edits::{Edits, InjectMethod};
use remaster::stamp::base_image::BaseImage;
use remaster::stamp::manifest::Manifest;
use remaster::stamp::manifest::blocks::Blocks;
use remaster::stamp::manifest::found;
use remaster::stamp::manifest::verify::verify;
use remaster::stamp::planned_image::ManifestOptions;
use remaster::units::{u64_len, usize_of};
use serde_json::Value;
use ssh_key::LineEnding;

use crate::raw::customization;
use crate::support::{
    AARCH64, Ended, Folder, SD, TINY, assert_same, bases, bytes, edits, key, pair, survey,
};

const STAMP: [&str; 6] = ["base.iso", "--key", "key.pub", "-o", "custom.iso", "--manifest-digests"];

/// Refused, whatever progress was told before.
fn refused(ended: &Ended, status: i32, words: &str) {
    assert_eq!(ended.status, status, "{}", ended.err);
    assert!(ended.err.contains(words) && ended.out.is_empty(), "{}", ended.err);
}

fn folder() -> Folder {
    let folder = Folder::with_base(&TINY);
    folder.write("key.pub", format!("{}\n", key(1)).as_bytes());
    let private = pair(2).to_openssh(LineEnding::LF).unwrap();
    folder.write("signer", private.as_bytes());
    fs::set_permissions(folder.at("signer"), fs::Permissions::from_mode(0o600)).unwrap();
    folder.write("allowed", format!("me@example.org {}\n", key(2)).as_bytes());
    folder.write("others", format!("x namespaces=\"git\" {}\ny {}\n", key(2), key(3)).as_bytes());
    folder
}

/// The library's image with digests of its blocks.
fn digested(base: &[u8], edits: Edits) -> Vec<u8> {
    let base = BaseImage::open(base).unwrap();
    bytes(base.stamp(edits, &with_blocks(&base)).unwrap().image())
}

fn with_blocks(base: &BaseImage<&[u8]>) -> ManifestOptions {
    let (blocks, sha256) = Blocks::compute(base.original(), &Silent).unwrap();
    ManifestOptions { blocks: Some(blocks), sha256: Some(sha256), ..ManifestOptions::default() }
}

fn verified(image: &[u8]) -> remaster::Result<()> {
    let found = found::of_image(&image)?.unwrap();
    verify(&image, &found, &Silent)
}

#[test]
fn a_manifest_says_which_user_each_key_lets_in() {
    let folder = folder();
    let file = "key.pub:/etc/ssh/authorized_keys.d/root:444";
    folder.run(&["base.iso", "--file", file, "-o", "custom.iso"]).done();
    let found = found::of_image(&folder.read("custom.iso").as_slice()).unwrap().unwrap();
    let users: Vec<&str> = found.manifest.keys.iter().map(|key| key.user.as_str()).collect();
    assert_eq!(users, ["root"]);
}

#[test]
fn bytes_everywhere_count() {
    for (name, base) in bases() {
        for way in [InjectMethod::ExtraInitrd, InjectMethod::MergeInitrd] {
            let image = digested(base, edits(1, way));
            verified(&image).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            let found = found::of_image(&image.as_slice()).unwrap().unwrap();
            // Only a signature is for the manifest itself, and the backup GPT may be moved.
            let tail = u64_len(&image) - 63 * 512..u64_len(&image);
            for at in (0..u64_len(&image)).step_by(40_009) {
                let mut broken = image.clone();
                broken[usize_of(at)] ^= 4;
                let masked = found.own[0].start()..found.own[0].end();
                let is_masked = masked.contains(&at) || tail.contains(&at);
                assert!(is_masked || verified(&broken).is_err(), "{name}: byte {at:#x}");
            }
        }
    }
}

/// A GPT that somebody else puts onto a stick, for whom it is easy to make its checksums right.
struct Table {
    entries: usize,
    /// The block of the entries; those behind the image have a partition there.
    array: usize,
    first_usable: u64,
    /// The last usable block, where it is not the one in front of the backup.
    last_usable: Option<u64>,
}

const ENTRY: usize = 128;

impl Table {
    /// The image on a stick with a mebibyte more, and this table of it.
    fn on_stick(&self, image: &[u8]) -> Vec<u8> {
        let mut disk = image.to_vec();
        disk.resize(image.len() + (1 << 20), 0);
        let blocks = disk.len() / 512;
        let (size, last) = ((self.entries * ENTRY).next_multiple_of(512), blocks - 1);
        let at = self.array * 512;
        if at >= image.len() {
            disk[at..at + 32].copy_from_slice(&[0xA2; 32]);
            let place = u64::try_from(blocks - 300).unwrap();
            disk[at + 32..at + 40].copy_from_slice(&place.to_le_bytes());
            disk[at + 40..at + 48].copy_from_slice(&(place + 9).to_le_bytes());
        }
        let backup = last * 512 - size;
        disk.copy_within(at..at + size, backup);
        let sum = crc32(&disk[at..at + self.entries * ENTRY]);
        for (own, other, array) in [(1, last, self.array), (last, 1, backup / 512)] {
            let mut header = image[512..512 + 92].to_vec();
            header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
            let usable = u64::try_from(backup / 512 - 1).unwrap();
            let usable = self.last_usable.unwrap_or(usable);
            let blocks = [own, other].map(|block| u64::try_from(block).unwrap());
            let numbers = [blocks[0], blocks[1], self.first_usable, usable];
            for (number, place) in numbers.iter().zip([24, 32, 40, 48]) {
                header[place..place + 8].copy_from_slice(&number.to_le_bytes());
            }
            header[72..80].copy_from_slice(&u64::try_from(array).unwrap().to_le_bytes());
            let counts = [u32::try_from(self.entries).unwrap(), 128, sum];
            for (count, place) in counts.iter().zip([80, 84, 88]) {
                header[place..place + 4].copy_from_slice(&count.to_le_bytes());
            }
            header[16..20].fill(0);
            let sum = crc32(&header);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
            disk[own * 512..own * 512 + 92].copy_from_slice(&header);
        }
        disk
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// The header of a GPT does not count, as a stick has another one than its image: what firmware reads by it does.
#[test]
fn a_table_that_leads_elsewhere_than_to_what_was_made_is_reported() {
    let image = digested(&TINY, edits(1, InjectMethod::ExtraInitrd));
    let found = survey(&image).partitions.gpt.unwrap();
    let (entries, first_usable) = (usize::try_from(found.entries()).unwrap(), found.usable().0);
    let right = || Table { entries, array: 2, first_usable, last_usable: None };
    verified(&right().on_stick(&image)).unwrap();
    let behind = image.len() / 512 + 8;
    let blocks = u64::try_from(right().on_stick(&image).len() / 512).unwrap();
    let last = |block| Table { last_usable: Some(block), ..right() };
    let table = [
        (last(0), "last usable"),
        (last(100), "last usable"),
        (last(blocks), "last usable"),
        (last(blocks - 40), "last usable"),
        (last(u64::MAX), "last usable"),
        (Table { array: behind, ..right() }, "entries at block"),
        (Table { entries: 4, ..right() }, "first usable"),
        (Table { entries: entries - 1, ..right() }, "first usable"),
        (Table { first_usable: first_usable + 1, ..right() }, "first usable"),
    ];
    for (wrong, words) in table {
        let fault = verified(&wrong.on_stick(&image)).unwrap_err();
        let differs = matches!(fault, Error::Differs { .. });
        assert!(fault.to_string().contains(words) && differs, "{words}: {fault}");
    }
    let mut bare = right().on_stick(&image);
    bare[512..1024].fill(0);
    let fault = verified(&bare).unwrap_err();
    let differs = matches!(fault, Error::Differs { .. });
    assert!(fault.to_string().contains("no header in block 1") && differs, "{fault}");
    // An image without a table is not to have one.
    let image = digested(&AARCH64, edits(1, InjectMethod::ExtraInitrd));
    for array in [2, image.len() / 512 + 8] {
        let table = Table { entries: 4, array, first_usable: 40, last_usable: None };
        let fault = verified(&table.on_stick(&image)).unwrap_err();
        assert!(matches!(fault, Error::Differs { .. } | Error::Malformed { .. }), "{fault}");
    }
}

/// A stick has the backup of the GPT at its end, and not where the image ends.
#[test]
fn a_stick_with_a_published_image_is_a_sound_base() {
    let folder = folder();
    let gpt = survey(&TINY).partitions.gpt.unwrap();
    let (entries, first_usable) = (usize::try_from(gpt.entries()).unwrap(), gpt.usable().0);
    let table = Table { entries, array: 2, first_usable, last_usable: None };
    let longer = [TINY.as_slice(), &vec![0; 4 << 20]].concat();
    folder.write("stick", &table.on_stick(&longer));
    assert!(folder.run(&["inspect", "stick"]).done().contains("checks: 5 ok"));
    let made = folder.run(&["stick", "--key", "key.pub", "-o", "made"]);
    assert!(made.err.contains("bytes stand behind the image") && made.status == 0, "{}", made.err);
    folder.run(&["inspect", "made"]).done();
    assert_eq!(
        folder.read("made").len(),
        digested(&TINY, edits(1, InjectMethod::ExtraInitrd)).len()
    );
}

/// A raw image keeps its table, so that its base is not the one that was signed.
#[test]
fn a_table_on_a_stick_with_a_raw_image_is_reported() {
    let base = BaseImage::open(SD.as_slice()).unwrap();
    let image = base.customize(&customization(|_| {}), &with_blocks(&base)).unwrap();
    let image = bytes(image.image());
    verified(&image).unwrap();
    let array = image.len() / 512 + 8;
    let table = Table { entries: 4, array, first_usable: 40, last_usable: None };
    let fault = verified(&table.on_stick(&image)).unwrap_err();
    assert!(matches!(fault, Error::Differs { .. } | Error::Unsupported { .. }), "{fault}");
}

#[test]
fn the_program_verifies_what_it_made_and_nothing_else() {
    let folder = folder();
    let made = folder.run(&[&STAMP[..], &["--manifest", "m.json"]].concat());
    assert!(made.status == 0 && made.err.contains("wrote m.json\n"), "{}", made.err);
    let right = folder.run(&["verify", "custom.iso"]);
    assert_eq!(right.text(), "custom.iso: as its manifest says\n", "{}", right.err);
    let beside = folder.run(&["verify", "custom.iso", "--manifest", "m.json"]);
    assert!(beside.text().contains("as its"), "{}", beside.err);
    let mut broken = folder.read("custom.iso");
    broken[700_000] ^= 1;
    folder.write("broken.iso", &broken);
    refused(&folder.run(&["verify", "broken.iso"]), 3, "differs at byte");
    folder.run(&["base.iso", "--key", &key(3), "-o", "other.iso", "--manifest-digests"]).quietly();
    refused(
        &folder.run(&["verify", "other.iso", "--manifest", "m.json"]),
        3,
        "m.json was not written for other.iso",
    );
    refused(&folder.run(&["verify", "base.iso"]), 2, "has no manifest");
    folder.run(&["base.iso", "--key", &key(3), "-o", "plain.iso"]).quietly();
    refused(&folder.run(&["verify", "plain.iso"]), 2, "no digests");
}

#[test]
fn only_allowed_signers_count() {
    let folder = folder();
    folder.run(&[&STAMP[..], &["--sign", "signer", "--manifest", "m.json"]].concat()).quietly();
    let verify =
        |signers: &str| folder.run(&["verify", "custom.iso", "--allowed-signers", signers]);
    let text = verify("allowed").text().to_owned();
    assert_eq!(text, "custom.iso: as its manifest says, signed by me@example.org\n");
    refused(
        &verify("others"),
        3,
        "which no line lets sign: line 1 has it for the namespaces \"git\" alone",
    );
    let beside = ["verify", "custom.iso", "--manifest", "m.json", "--allowed-signers", "allowed"];
    assert!(folder.run(&beside).text().contains("signed by me@example.org"));
    let mut image = folder.read("custom.iso");
    let at = image.windows(9).position(|found| found == b"BEGIN SSH").unwrap() + 120;
    image[at] = if image[at] == b'A' { b'B' } else { b'A' };
    folder.write("custom.iso", &image);
    refused(&verify("allowed"), 3, "the signature");
    folder.run(&["base.iso", "--key", &key(3), "-o", "bare.iso", "--manifest-digests"]).quietly();
    refused(
        &folder.run(&["verify", "bare.iso", "--allowed-signers", "allowed"]),
        3,
        "the manifest is not signed, and --allowed-signers asks for a signature",
    );
}

#[test]
fn keys_that_do_not_sign_are_reported() {
    let folder = folder();
    folder.write("nonsense", b"x");
    for (signer, words) in [
        ("nonsense", "not a private key"),
        ("none", "cannot open none, which should be a private key"),
        ("key.pub", "there is no ssh-agent"),
    ] {
        let mut program: Command = folder.program(&[&STAMP[..], &["--sign", signer]].concat());
        let ended = program.env_remove("SSH_AUTH_SOCK").output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains(words) && !folder.at("custom.iso").exists(), "{said}");
    }
}

#[test]
fn records_beside_an_image_agree_with_it() {
    let folder = folder();
    let beside = ["--manifest", "m.json", "--provenance", "p.json", "--sbom", "s.json"];
    let mut program = folder.program(&[&STAMP[..], &beside].concat());
    let ended = program.env("SOURCE_DATE_EPOCH", "951868799").output().unwrap();
    assert!(ended.status.success());
    let json = |name: &str| serde_json::from_slice::<Value>(&folder.read(name)).unwrap();
    let (manifest, provenance, sbom) = (json("m.json"), json("p.json"), json("s.json"));
    let image = Digest::of_bytes(&folder.read("custom.iso")).to_string();
    let base = Digest::of_bytes(&TINY).to_string();
    assert_eq!(manifest["base"]["sha256"], base);
    assert_eq!(manifest["source_date_epoch"], 951_868_799);
    let fingerprint = pair(1).fingerprint(ssh_key::HashAlg::Sha256).to_string();
    assert_eq!(manifest["keys"][0]["fingerprint"], fingerprint);
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], image);
    let definition = &provenance["predicate"]["buildDefinition"];
    assert_eq!(definition["resolvedDependencies"][0]["digest"]["sha256"], base);
    assert_eq!(sbom["metadata"]["component"]["hashes"][0]["content"], image);
    assert_eq!(sbom["metadata"]["timestamp"], "2000-02-29T23:59:59Z");
    assert_eq!(sbom["components"][0]["hashes"][0]["content"], base);
    let mut program = folder.program(&["base.iso", "--key", "key.pub", "-o", "x.iso"]);
    let ended = program.env("SOURCE_DATE_EPOCH", "soon").output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
}

/// A change of what a manifest says, and what verify calls that.
type Claim = (&'static str, fn(&mut Manifest));

#[test]
fn whatever_a_manifest_says_of_the_image_is_compared() {
    let other = || Some(Digest([0; 32]));
    let rows: [Claim; 9] = [
        ("the size", |said| said.size += 2048),
        ("the base", |said| said.base.size -= 1),
        ("the base", |said| said.base.release.push('x')),
        ("the keys", |said| said.keys.truncate(1)),
        ("the files", |said| drop(said.files.pop())),
        ("whether it is private", |said| said.private = Some(false)),
        ("the recipe id", |said| said.recipe_id = Some(Digest([0; 32]))),
        ("the recipe id", |said| said.inputs = Some(Digest([0; 32]))),
        ("the content id", |said| said.content_id = Some(Digest([0; 32]))),
    ];
    let hash = format!("$6$salt${}", "a".repeat(86));
    let secret = customization(|recipe| recipe.root_password_hash = Some(hash));
    for (name, base) in [("tiny", &*TINY), ("sd", &*SD)] {
        let base = BaseImage::open(base.as_slice()).unwrap();
        let image = base.customize(&secret, &with_blocks(&base)).unwrap();
        let image = bytes(image.image());
        let found = found::of_image(&image.as_slice()).unwrap().unwrap();
        verify(&image.as_slice(), &found, &Silent).unwrap();
        assert!(found.manifest.recipe_id.is_some() && found.manifest.recipe_id != other());
        for (what, change) in rows {
            let mut found = found.clone();
            change(&mut found.manifest);
            let said = verify(&image.as_slice(), &found, &Silent);
            let said = said.map_or_else(|fault| fault.to_string(), |()| "verified".into());
            assert!(said.starts_with(&format!("{what} differs")), "{name}: {what}: {said}");
        }
    }
}

#[test]
fn a_recipe_asks_for_records_as_flags_do() {
    let folder = folder();
    folder.write("r.toml", b"manifest-digests = true\nsign = 'signer'\n");
    folder.write("users.toml", format!("[[user]]\nname = 'a'\nkey = '{}'\n", key(1)).as_bytes());
    let own = format!("[[user]]\nname = 'a'\nkey = '{}'\nsign = 'signer'\n", key(1));
    folder.write("own.toml", own.as_bytes());
    let key = key(1);
    let by_flags = ["--manifest-digests", "--sign", "signer"];
    let by_recipe = ["--recipe", "r.toml"];
    let start = |out: &'static str| ["base.iso", "--key", key.as_str(), "-q", "-o", out];
    folder.run(&[&start("flags.iso")[..], &by_flags].concat()).quietly();
    folder.run(&[&start("recipe.iso")[..], &by_recipe].concat()).quietly();
    assert_same("by a recipe", &folder.read("recipe.iso"), &folder.read("flags.iso"));
    folder
        .run(&["stamp", "base.iso", "users.toml", "-q", "-o", "out", "--recipe", "r.toml"])
        .quietly();
    assert_same("in a batch", &folder.read("out/a.iso"), &folder.read("flags.iso"));
    let ended = folder.run(&["stamp", "base.iso", "own.toml", "-q", "-o", "own"]);
    assert!(
        ended.status == 11 && ended.err.contains("all users of a batch have the same"),
        "{}",
        ended.err
    );
    let alone = folder.run(&["base.iso", "--recipe", "r.toml", "-o", "none.iso"]);
    alone.refused(2, "nothing to put in");
}

#[test]
fn random_keys_and_salts_are_refused_where_the_same_bytes_are_wanted() {
    let folder = folder();
    folder.write("seed", b"correct horse battery staple 0123456789");
    folder.write("password", b"correct horse\n");
    let other = ssh_key::private::EcdsaKeypair::random(
        &mut ssh_key::rand_core::OsRng,
        ssh_key::EcdsaCurve::NistP256,
    );
    let other = ssh_key::PrivateKey::from(other.unwrap()).to_openssh(LineEnding::LF).unwrap();
    folder.write("ecdsa", other.as_bytes());
    let start = ["base.iso", "--key", "key.pub", "--reproducible", "-q", "-o"];
    let made = |out: &str, flags: &[&str]| folder.run(&[&start[..], &[out], flags].concat());
    for (flags, words) in [
        (&["--host-key", "generate"][..], "host-key: would be random, different each time"),
        (&["--root-password-file", "password"], "root-password-file: the salt"),
        (&["--sign", "ecdsa"], "a signature by such a key"),
    ] {
        let ended = made("none.iso", flags);
        assert!(ended.status == 2 && ended.err.contains(words), "{flags:?}: {}", ended.err);
        assert!(!folder.at("none.iso").exists());
    }
    let flags = [
        "--host-key",
        "generate",
        "--host-key-seed",
        "seed",
        "--root-password-file",
        "password",
        "--sign",
        "signer",
    ];
    made("a.iso", &flags).quietly();
    made("b.iso", &flags).quietly();
    assert_same("again", &folder.read("a.iso"), &folder.read("b.iso"));
}
