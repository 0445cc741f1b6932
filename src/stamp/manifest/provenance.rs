//! What other tools read about how an image was made: in-toto Statement v1 with SLSA Provenance v1, and a
//! `CycloneDX` 1.5 SBOM. Both are made from the manifest alone.

use serde_json::{Value, json};

use super::{File, Manifest};
use crate::image::digest::Digest;

/// Names the kind of build, which has these external parameters: `recipe_id`, `content_id`, `inputs`, `edits`, `keys`,
/// `files`.
pub(crate) const BUILD_TYPE: &str = "https://remaster.invalid/stamp/v2";

/// Who made an image, and how, in the words of SLSA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// The URI of who ran the build.
    pub builder_id: String,
    /// The URI of the kind of build.
    pub build_type: String,
}

impl Default for Build {
    fn default() -> Self {
        let builder_id = "https://remaster.invalid/local".into();
        Self { builder_id, build_type: BUILD_TYPE.into() }
    }
}

/// The provenance (in-toto.io Statement v1; slsa.dev Provenance v1) of the image `name`, whose digest is
/// given.
pub fn statement(manifest: &Manifest, build: &Build, name: &str, image: Digest) -> Value {
    let base = &manifest.base;
    let digest = base.sha256.as_ref().map(|sha256| json!({ "sha256": sha256 }));
    let mut dependency = json!({ "name": base.volume, "annotations": {
        "size": base.size, "release": base.release, "head_sha256": base.head_sha256 } });
    if let (Some(digest), Some(dependency)) = (digest, dependency.as_object_mut()) {
        dependency.insert("digest".into(), digest);
    }
    let mut metadata = json!({});
    if let (Some(at), Some(metadata)) =
        (manifest.source_date_epoch.and_then(timestamp), metadata.as_object_mut())
    {
        metadata.insert("startedOn".into(), at.into());
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": name, "digest": { "sha256": image.to_string() } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": build.build_type,
                "externalParameters": { "recipe_id": manifest.recipe_id,
                    "content_id": manifest.content_id, "inputs": manifest.inputs, "edits": manifest.edits,
                    "keys": manifest.keys, "files": manifest.files },
                "resolvedDependencies": [dependency],
            },
            "runDetails": {
                "builder": { "id": build.builder_id,
                    "version": { "remaster": manifest.tool.version } },
                "metadata": metadata,
            },
        },
    })
}

/// The SBOM (`CycloneDX` 1.5): the base and every file that was put in.
pub fn sbom(manifest: &Manifest, name: &str, image: Digest) -> Value {
    let sha256 = |content: &str| json!([{ "alg": "SHA-256", "content": content }]);
    let base = &manifest.base;
    let mut os = json!({ "type": "operating-system", "bom-ref": "base", "name": "NixOS",
        "version": base.release });
    if let (Some(digest), Some(os)) = (&base.sha256, os.as_object_mut()) {
        os.insert("hashes".into(), sha256(&digest.to_string()));
    }
    let mut components = vec![os];
    let files = manifest.files.iter().filter(|file| file.kind == "file");
    components.extend(files.map(|File { path, sha256: digest, .. }| match digest {
        Some(digest) => {
            json!({ "type": "file", "bom-ref": path, "name": path, "hashes": sha256(digest) })
        }
        None => json!({ "type": "file", "bom-ref": path, "name": path }),
    }));
    let mut metadata = json!({
        "tools": { "components": [{ "type": "application", "name": manifest.tool.name,
            "version": manifest.tool.version }] },
        "component": { "type": "file", "bom-ref": "image", "name": name,
            "hashes": sha256(&image.to_string()) },
    });
    if let (Some(at), Some(metadata)) =
        (manifest.source_date_epoch.and_then(timestamp), metadata.as_object_mut())
    {
        metadata.insert("timestamp".into(), at.into());
    }
    let refs: Vec<&Value> =
        components.iter().filter_map(|component| component.get("bom-ref")).collect();
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": metadata,
        "dependencies": [{ "ref": "image", "dependsOn": refs }], "components": components,
    })
}

/// Seconds since 1970 as RFC 3339 has them, in UTC; none past the year 9999.
fn timestamp(seconds: u64) -> Option<String> {
    const DAY: u64 = 86_400;
    let (mut days, rest) = (seconds.checked_div(DAY)?, seconds.checked_rem(DAY)?);
    let mut year: u64 = 1970;
    while days >= length(year) {
        days = days.checked_sub(length(year))?;
        year = year.checked_add(1).filter(|year| *year < 10_000)?;
    }
    let february = length(year).checked_sub(337)?;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1_u64;
    for length in months {
        let Some(left) = days.checked_sub(length) else { break };
        (days, month) = (left, month.checked_add(1)?);
    }
    let (hour, minute) = (rest.checked_div(3600)?, rest.checked_div(60)?.checked_rem(60)?);
    let (day, second) = (days.checked_add(1)?, rest.checked_rem(60)?);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Days of a year.
fn length(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if leap { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        // As `date -u -d @SECONDS` shows them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(seconds).as_deref(), Some(text));
        }
        assert_eq!(timestamp(u64::MAX), None);
    }
}
