//! Logins at several serial ports of one kind. The kernel itself uses only one of them.

use std::fmt::Write as _;

use crate::recipe::edits::{Boot, Edits};

pub(super) const NAME: &str = "remaster-serial.service";

/// Puts the unit in, if there are such ports.
pub(super) fn apply(boot: &Boot, edits: &mut Edits) {
    if boot.alike().next().is_some() {
        edits.root.unit(NAME, &unit(boot));
        edits.root.want(NAME, "multi-user.target");
    }
}

/// Where [`apply`] puts the unit.
pub(super) const UNIT: &str = "etc/systemd/system.control/remaster-serial.service";

/// The ports of a unit, as a recipe asks for them.
pub(super) fn ports(unit: &str) -> Vec<String> {
    let speed = |port: &str| {
        let (_, rest) = unit.split_once(&format!("stty -F /dev/{port} "))?;
        rest.split(' ').next()
    };
    let ports = unit.lines().filter_map(|line| line.strip_prefix("Before=serial-getty@"));
    let ports = ports.filter_map(|line| line.strip_suffix(".service"));
    let asked =
        |port: &str| speed(port).map_or_else(|| port.to_owned(), |speed| format!("{port},{speed}"));
    ports.map(asked).collect()
}

/// A getty starts by itself at consoles of the kernel only (`systemd-getty-generator(8)`), and takes the speed that the
/// port has (`agetty(8)`, `--keep-baud`). A port that is not there takes no other one its login.
fn unit(boot: &Boot) -> String {
    let mut text = "[Unit]\nDescription=Logins at serial ports\n".to_owned();
    let mut speeds = String::new();
    for serial in boot.alike() {
        let port = &serial.port;
        let _ = writeln!(text, "Wants=serial-getty@{port}.service");
        let _ = writeln!(text, "Before=serial-getty@{port}.service");
        if let Some(speed) = serial.speed {
            let _ = write!(speeds, "stty -F /dev/{port} {speed} || failed=1; ");
        }
    }
    let _ = write!(
        text,
        "\n[Service]\nType=oneshot\nRemainAfterExit=yes\nEnvironment=PATH=/run/current-system/sw/bin\nExecStart=/bin/sh -c 'failed=; {speeds}[ ! \"$$failed\" ]'\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::kernel_args;
    use crate::formats::newc::Kind;
    use crate::recipe::Recipe;

    fn with(ports: &[&str]) -> (Recipe, Boot, Edits) {
        let serial = ports.iter().map(ToString::to_string).collect();
        let recipe = Recipe { serial, ..Recipe::default() };
        let boot = kernel_args::gather(&recipe).unwrap();
        let mut edits = Edits::default();
        apply(&boot, &mut edits);
        (recipe, boot, edits)
    }

    #[test]
    fn the_kernel_talks_at_the_last_port_of_a_kind_and_the_others_have_a_login() {
        let (recipe, boot, edits) = with(&["ttyS0", "hvc0", "ttyS2", "ttyS1,9600"]);
        let consoles: Vec<&str> = boot.consoles().map(|serial| serial.port.as_str()).collect();
        assert_eq!(consoles, ["hvc0", "ttyS1"]);
        assert!(recipe.has_ports_alike() && recipe.touches_stage_one());
        let unit = edits.root.get(UNIT).unwrap();
        let Kind::File(text) = &unit.kind else { panic!("{unit:?}") };
        assert_eq!(
            ports(std::str::from_utf8(text).unwrap()),
            ["ttyS0,115200", "ttyS2,115200", "ttyS1,9600"]
        );
        let text = String::from_utf8(text.clone()).unwrap();
        let wanted: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("Wants=")).collect();
        assert_eq!(wanted, [0, 2, 1].map(|port| format!("serial-getty@ttyS{port}.service")));
        for set in ["/dev/ttyS0 115200 ||", "/dev/ttyS2 115200 ||", "/dev/ttyS1 9600 ||"] {
            assert!(text.contains(set), "{text}");
        }
    }

    #[test]
    fn one_port_of_each_kind_needs_the_menus_alone() {
        let (recipe, _, edits) = with(&["hvc0", "ttyS1"]);
        assert!(!recipe.has_ports_alike() && !recipe.touches_stage_one());
        assert_eq!(edits.root.members().count(), 0);
    }
}
