//! All that there is to know of an image: tables, menus, initrds, files.

use std::fmt::Write as _;

use remaster::inspect::{Injected, Menu, Report, Signature};
use remaster::units::format_bytes;

use super::answer::{manifest, name, shown_key};

/// Each command line once, without what loaders add and without GRUB's variables.
pub(super) fn kargs(report: &Report) -> String {
    let mut lines: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for (menu, entry) in
        report.menus.iter().flat_map(|menu| menu.entries.iter().map(move |e| (menu, e)))
    {
        let words = entry.arguments.iter().map(String::as_str);
        let line: Vec<&str> = words.filter(|word| !word.starts_with('$')).collect();
        let name = format!("{} of {}", entry.title.join(" > "), place(menu));
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, names)) => names.push(name),
            None => lines.push((line, vec![name])),
        }
    }
    let mut text = String::new();
    for (line, names) in lines {
        let _ = writeln!(text, "# {}", names.join("\n# "));
        let quoted = line.iter().map(|word| {
            if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() }
        });
        let _ = writeln!(text, "{}", quoted.collect::<Vec<_>>().join(" "));
    }
    text
}

fn place(menu: &Menu) -> String {
    let place = if menu.place == "esp" { "in the UEFI boot image" } else { "on the volume" };
    format!("{} {place}", menu.path)
}

pub(super) fn text(report: &Report) -> String {
    let mut text = format!(
        "NixOS {} for {}, {} stage 1\n",
        report.release,
        report.architecture.as_deref().unwrap_or("an unknown architecture"),
        report.generation,
    );
    if let Some(volume) = &report.volume {
        let joliet = if volume.joliet { ", with Joliet" } else { "" };
        let size = format_bytes(volume.size);
        let (label, by, files) = (&volume.identifier, &volume.application, volume.files);
        let _ = writeln!(text, "volume {label:?} by {by}, {size}, {files} files{joliet}");
    }
    if let Some(root) = &report.root {
        let size = format_bytes(report.size);
        let _ = writeln!(
            text,
            "raw image of {size}, root in partition {}: {} {:?}, {} free",
            root.partition,
            root.filesystem,
            root.label,
            format_bytes(root.free)
        );
    }
    facts(&mut text, report);
    report.menus.iter().for_each(|found| menu(&mut text, found));
    match &report.injected {
        Some(found) => injected(&mut text, found),
        None => text.push_str("\nnothing was put in: a stock image\n"),
    }
    checks(&mut text, report);
    text
}

fn facts(text: &mut String, report: &Report) {
    for (table, partitions) in [("MBR", &report.partitions.mbr), ("GPT", &report.partitions.gpt)] {
        for found in partitions {
            let _ = writeln!(
                text,
                "{table} partition {}: type {}, at {:#x}, {}",
                found.number,
                found.r#type,
                found.start,
                format_bytes(found.size)
            );
        }
    }
    for path in &report.boot_paths {
        let (firmware, medium) = (name(path.firmware), name(path.medium));
        let _ = writeln!(text, "boots by {firmware} from {medium}: {}", path.starts);
    }
    secure_boot(text, report);
    for found in &report.triplets {
        let _ = writeln!(
            text,
            "\nkernel {}\n  initrd {}\n  init   {}",
            found.kernel,
            found.initrds.join(" + "),
            found.init
        );
    }
    for found in &report.initrds {
        let _ = writeln!(
            text,
            "{}: {}, {}, {} stage 1",
            found.path,
            format_bytes(found.size),
            found.parts.join(" + "),
            found.stage_one
        );
    }
}

/// What there is to tell of Secure Boot.
fn secure_boot(text: &mut String, report: &Report) {
    let programs = &report.uefi_programs;
    if programs.is_empty() {
        return;
    }
    if programs.iter().all(|found| found.signatures.is_empty() && found.fault.is_none()) {
        let _ = writeln!(
            text,
            "Secure Boot: none of {} loaders and kernels is signed, so it must be off",
            programs.len()
        );
        return;
    }
    for found in programs {
        let place = if found.place == "esp" { "in the UEFI boot image" } else { "on the volume" };
        let told = match (&found.fault, found.signatures.as_slice()) {
            (Some(fault), _) => format!("signatures cannot be read: {fault}"),
            (None, []) => "not signed".to_owned(),
            (None, signatures) => signatures.iter().map(signed_by).collect::<Vec<_>>().join("; "),
        };
        let _ = writeln!(text, "Secure Boot: {} {place}: {told}", found.path);
    }
}

fn signed_by(signature: &Signature) -> String {
    let signer = if signature.signer.is_empty() { "somebody" } else { &signature.signer };
    let digest = match signature.digest_fits {
        Some(true) => "its digest fits, its signature is not checked",
        Some(false) => "but was changed since",
        None => "neither digest nor signature is checked",
    };
    format!("signed by {signer} ({digest})")
}

fn menu(text: &mut String, menu: &Menu) {
    let _ =
        writeln!(text, "\nmenu {} ({}), {} entries", place(menu), menu.syntax, menu.entries.len());
    for (what, value) in
        [("waits", &wait(menu)), ("starts", &menu.default), ("talks at", &menu.serial)]
    {
        if let Some(value) = value {
            let _ = writeln!(text, "  {what} {value}");
        }
    }
    for entry in &menu.entries {
        let _ = writeln!(text, "  {}\n    {}", entry.title.join(" > "), entry.initrds.join(" "));
    }
}

/// How long a menu waits, in seconds. Other text stays as it is written.
fn wait(menu: &Menu) -> Option<String> {
    let written = menu.timeout.as_deref()?;
    let shown = match written.parse::<u32>() {
        Ok(tenths) if menu.syntax == "isolinux" => format!("{} s", f64::from(tenths) / 10.0),
        Ok(seconds) => format!("{seconds} s"),
        Err(_) => written.to_owned(),
    };
    Some(shown)
}

fn injected(text: &mut String, found: &Injected) {
    let way = match found.way {
        "extra-initrd" => "an archive beside the initrds",
        "merged-initrd" => "an archive in the initrds",
        "credential" => "a credential",
        "root" => "files in the root filesystem",
        "menus" => "changes of menus alone",
        other => other,
    };
    let _ = writeln!(
        text,
        "\nput in as {way}; the base has {} bytes and the label {}",
        found.base_size, found.base_label
    );
    for line in manifest(found) {
        let _ = writeln!(text, "  manifest: {line}");
    }
    for key in &found.keys {
        let shut_out = key.shut_out.as_ref();
        let shut_out = shut_out.map(|why| format!(" (lets nobody in: {why})")).unwrap_or_default();
        let shown = shown_key(key);
        let _ = writeln!(text, "  key for {}: {shown}{shut_out}", key.user);
    }
    for setting in &found.settings {
        let _ = writeln!(text, "  {}: {}", setting.name, setting.shown());
    }
    for note in &found.notes {
        let _ = writeln!(text, "  {note}");
    }
    for key in &found.host_keys {
        let _ = writeln!(text, "  host key: {} {}", key.algorithm, key.fingerprint);
    }
    for path in &found.secrets {
        let _ = writeln!(text, "  secret: {path}");
    }
    for file in &found.files {
        let (uid, gid) = file.owner;
        let _ = writeln!(text, "  {} {uid}:{gid} {:>6} {}", file.mode, file.size, file.path);
    }
    for file in &found.attached {
        let _ = writeln!(text, "  on the volume: {} {}", format_bytes(file.size), file.path);
    }
}

fn checks(text: &mut String, report: &Report) {
    text.push('\n');
    for check in &report.checks {
        let _ = writeln!(
            text,
            "{} {}: {}",
            if check.ok { "ok   " } else { "WRONG" },
            check.name,
            check.detail
        );
    }
}
