//! The release in the name of a NixOS system.

/// The release in a store path of a system, as `25.11.12484.b6018f87da91` or `26.11pre12345.abcdef`; empty if there is none.
///
/// A system is called `nixos-system-NAME-TAGS-RELEASE` (nixpkgs `nixos/modules/system/activation/top-level.nix` and
/// `nixos/modules/misc/label.nix`). The host name and the tags may have hyphens and numbers, so the last word counts.
pub(crate) fn find_release(path: &str) -> &str {
    let mut systems = path.split('/').filter_map(|part| part.split_once("-nixos-system-"));
    systems.next_back().and_then(|(_, name)| name.split('-').rfind(is_release)).unwrap_or_default()
}

/// Whether a word begins as a release does: year, stop and month with two digits each. A kernel is not called so.
fn is_release(word: &&str) -> bool {
    let mut bytes = word.bytes();
    let mut begins = || -> Option<bool> {
        let [a, b, stop, c, d] = std::array::from_fn(|_| bytes.next());
        let are_digits = [a?, b?, c?, d?].iter().all(u8::is_ascii_digit);
        Some(are_digits && stop? == b'.')
    };
    begins() == Some(true)
        && word
            .get(5..)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("pre"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_in_the_name_of_a_system() {
        for (name, release) in [
            ("nixos-25.11.20251101.abcdef", "25.11.20251101.abcdef"),
            ("nixos-26.11pre12345.abcdef", "26.11pre12345.abcdef"),
            ("nixos-25.11", "25.11"),
            ("my-own-host-2-25.11.1.abcdef", "25.11.1.abcdef"),
            ("nixos-debug-23.11.1.abcdef", "23.11.1.abcdef"),
            ("nixos-25.11-linux-6.12.58", "25.11"),
            ("nixos", ""),
            ("nixos-10.0.0.1", ""),
            ("", ""),
        ] {
            let path = format!("/nix/store/abc-nixos-system-{name}/init");
            assert_eq!(find_release(&path), release, "{name}");
        }
        assert_eq!(find_release("/nix/store/abc"), "");
    }
}
