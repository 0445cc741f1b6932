//! What to do where the user may not: the one hint of every command.

use std::env;
use std::path::PathBuf;

/// How this program is run as root. By its full path, as `sudo` looks in fewer folders than the user's shell.
pub(crate) fn as_root() -> String {
    let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("remaster"));
    format!("run it as root: `sudo {} …`", program.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_called_by_its_full_path() {
        let program = env::current_exe().map(|path| path.display().to_string());
        assert_eq!(
            program.ok().map(|path| format!("run it as root: `sudo {path} …`")),
            Some(as_root())
        );
        assert!(as_root().contains("`sudo /"));
    }
}
