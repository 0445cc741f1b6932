//! Tests of network profiles: what a recipe asks for, and the files that come of it.

use super::*;

fn network(address: &[&str], gateway: &[&str], dns: &[&str]) -> Result<Network> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let mut recipe = Recipe::default();
    (recipe.address, recipe.gateway, recipe.dns) = (owned(address), owned(gateway), owned(dns));
    Network::gather(&recipe)
}

fn edits(network: &Network, release: (u32, u32)) -> Edits {
    let mut edits = Edits::default();
    let facts = Facts { release, architecture: None, room: None };
    network.apply(&facts, &mut edits);
    edits
}

fn text<'a>(edits: &'a Edits, path: &str) -> &'a str {
    match &edits.root.get(path).unwrap_or_else(|| panic!("no {path}")).kind {
        crate::formats::newc::Kind::File(bytes) => std::str::from_utf8(bytes).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

/// An address, a router, a server of names, and what is said of them.
const REFUSED: [(&str, &str, &str, &str); 41] = [
    ("192.168.1.50", "", "", "--address: \"192.168.1.50\" has no prefix length"),
    ("192.168.1.50/33", "", "", "--address: \"33\" is not a length"),
    ("192.168.1.50/0", "", "", "--address: \"0\" is not a length"),
    ("192.168.1.50/+8", "", "", "--address: \"+8\" is not a length"),
    ("192.168.1.500/24", "", "", "--address: \"192.168.1.500\" is not an address"),
    ("192.168.1.0/24", "", "", "--address: 192.168.1.0/24 is the address of a network"),
    ("192.168.1.255/24", "", "", "--address: 192.168.1.255/24 is the address of a network"),
    ("127.0.0.1/8", "", "", "--address: 127.0.0.1 is the loopback address"),
    ("224.0.0.5/24", "", "", "--address: 224.0.0.5 is a multicast address"),
    ("2001:db8::/64", "", "", "--address: 2001:db8::/64 is the address of a network"),
    ("=192.168.1.50/24", "", "", "--address: \"\" is not a name of an interface"),
    ("eth/0=192.168.1.50/24", "", "", "--address: \"eth/0\" is not a name of an interface"),
    ("wlan0=192.168.1.50/24", "", "", "--address: \"wlan0\" is a wireless interface"),
    ("lo=192.168.1.50/24", "", "", "--address: lo is the loopback interface"),
    ("eno1.4095=10.0.0.2/8", "", "", "\"eno1.4095\" is a VLAN, and \"4095\" is not a number"),
    (
        "eno1.020=10.0.0.2/8",
        "",
        "",
        "--address: \"eno1.020\" is a VLAN, and \"020\" is not a number",
    ),
    ("eno1.2.3=10.0.0.2/8", "", "", "--address: \"eno1.2.3\" is a VLAN in a VLAN"),
    ("wlan0.20=10.0.0.2/8", "", "", "--address: \"wlan0.20\" is a wireless interface"),
    ("br0.20=10.0.0.2/8", "", "", "--address: \"br0\" is a bridge, which"),
    ("bond0=192.168.1.50/24", "", "", "--address: bond0 is a bond, and no --bond lists"),
    ("bond0.20=192.168.1.50/24", "", "", "--address: bond0 is a bond, and no --bond lists"),
    (
        "wifi=192.168.1.50/24",
        "",
        "",
        "--address: for the wireless interface, and there is no --wifi",
    ),
    ("br0=192.168.1.50/24", "", "", "--address: \"br0\" is a bridge, which"),
    ("52:54:00:12:34=192.168.1.50/24", "", "", "--address: \"52:54:00:12:34\" is not a MAC"),
    ("52:54:00:12:34:5g=192.168.1.50/24", "", "", "is not a MAC address"),
    ("53:54:00:12:34:56=192.168.1.50/24", "", "", "is not the MAC address of one interface"),
    ("192.168.1.50/24", "192.168.2.1", "", "--gateway: 192.168.2.1 is not in reach of 192.168"),
    ("192.168.1.50/24", "192.168.1.50", "", "--gateway: 192.168.1.50 is the machine's own address"),
    ("192.168.1.50/24", "fe80::1", "", "--gateway: fe80::1 is of IPv6, and"),
    ("203.0.113.5/32", "2001:db8::1", "", "--gateway: 2001:db8::1 is of IPv6, and"),
    ("203.0.113.5/32", "203.0.113.5", "", "--gateway: 203.0.113.5 is the machine's own address"),
    ("192.168.1.50/24", "192.168.1.0", "", "--gateway: 192.168.1.0 is the address of a network"),
    ("192.168.1.50/24", "192.168.1.255", "", "--gateway: 192.168.1.255 is the address of a"),
    ("2001:db8::5/64", "192.168.1.1", "", "--gateway: 192.168.1.1 is of IPv4, and"),
    (" ", "", "", "--address: \" \" is not an address"),
    ("dhcp", "", "", "--address: \"dhcp\" is not an address"),
    ("192.168.1.50/24", "192.168.1.1/24", "", "--gateway: \"192.168.1.1/24\" has a prefix"),
    ("192.168.1.50/24", "eth0=192.168.1.1", "", "is for eth0, which gets no address"),
    ("", "192.168.1.1", "", "--gateway: 192.168.1.1 without an address"),
    ("192.168.1.50/24", "", "dns.example.org", "--dns: \"dns.example.org\" is not an address"),
    ("", "", "0.0.0.0", "--dns: 0.0.0.0 is not an address that a machine can have"),
];

#[test]
fn what_cannot_be_is_refused() {
    for (address, gateway, dns, what) in REFUSED {
        let list = |text: &'static str| if text.is_empty() { vec![] } else { vec![text] };
        let fault = network(&list(address), &list(gateway), &list(dns)).unwrap_err();
        assert!(fault.to_string().contains(what), "{fault}, not {what}");
        assert!(fault.advice().is_some(), "{fault}");
    }
    let twice = network(&["10.0.0.2/8", "eth0=10.0.0.2/8"], &[], &[]).unwrap_err();
    assert_eq!(twice.to_string(), "--address: 10.0.0.2 is given twice");
    let routers = network(&["10.0.0.2/8"], &["10.0.0.1", "10.0.0.3"], &[]).unwrap_err();
    assert!(routers.to_string().contains("10.0.0.3 is a second router"));
    assert!(network(&[], &[], &["1.1.1.1", "1.1.1.1"]).is_err());
}

#[test]
fn an_address_of_ipv6_that_no_machine_has_is_refused() {
    for (address, what) in [
        ("::1/64", "--address: ::1 is the loopback address"),
        ("::/64", "--address: :: is not an address that a machine can have"),
        ("ff02::1/64", "--address: ff02::1 is a multicast address"),
    ] {
        let fault = network(&[address], &[], &[]).unwrap_err();
        assert!(fault.to_string().starts_with(what), "{fault}");
    }
}

#[test]
fn an_address_is_not_a_secret_although_its_profile_is_closed() {
    let made = edits(&network(&["192.168.1.50/24"], &[], &["1.1.1.1"]).unwrap(), (25, 11));
    assert!(!made.is_private());
    let profile = format!("{PROFILES}/remaster-dhcp.nmconnection");
    let mut other = made.clone();
    other.root.file(&profile, 0o600, "[connection]\nid=mine\n\n[wifi-security]\npsk=secret\n");
    assert!(other.is_private());
}

#[test]
fn edges_of_subnets_are_addresses_where_there_is_no_broadcast() {
    network(&["10.0.0.0/31", "10.9.0.1/32", "2001:db8::/127"], &["10.0.0.1"], &[]).unwrap();
    network(&["2001:db8::5/64"], &["fe80::1"], &[]).unwrap();
}

#[test]
fn a_router_outside_of_an_address_alone_gets_a_route_to_itself() {
    let alone = ["203.0.113.5/32", "2001:db8::5/128"];
    let network = network(&alone, &["10.0.0.1", "2001:db8:ffff::1"], &[]).unwrap();
    let new = edits(&network, (25, 11));
    let profile = text(&new, &format!("{PROFILES}/remaster-address-1.nmconnection"));
    assert!(profile.contains("method=manual\naddress1=203.0.113.5/32,10.0.0.1\n\n"), "{profile}");
    assert!(profile.contains("address1=2001:db8::5/128,2001:db8:ffff::1\n"), "{profile}");
    assert!(!profile.contains("gateway="), "{profile}");
    let lines = "* gateway 10.0.0.1\n* gateway 2001:db8:ffff::1\n";
    assert!(text(&edits(&network, (24, 11)), NETWORK).ends_with(lines));
}

#[test]
fn an_interface_that_reaches_a_router_goes_before_one_with_an_address_alone() {
    let given = ["eth0=203.0.113.5/32", "eth1=10.0.0.2/24"];
    let network = network(&given, &["10.0.0.1"], &[]).unwrap();
    assert!(text(&edits(&network, (24, 11)), NETWORK).contains("eth1 gateway 10.0.0.1\n"));
}

#[test]
fn a_router_goes_to_the_interface_that_reaches_it() {
    let network = network(
        &["52:54:00:AB:cd:ef=10.1.0.2/24", "eth1=192.168.7.5/24", "eth1=2001:db8::5/64"],
        &["192.168.7.1", "eth1=fe80::1"],
        &["10.1.0.53", "2001:db8::53"],
    )
    .unwrap();
    let old = edits(&network, (24, 11));
    assert_eq!(
        text(&old, NETWORK),
        "52:54:00:ab:cd:ef address 10.1.0.2/24\n\
         eth1 address 192.168.7.5/24\n\
         eth1 address 2001:db8::5/64\n\
         eth1 gateway 192.168.7.1\n\
         eth1 gateway fe80::1\n\
         - dns 10.1.0.53\n\
         - dns 2001:db8::53\n"
    );
    assert!(old.root.get("etc/remaster/address.sh").is_some());
}

#[test]
fn network_manager_gets_profiles_that_only_root_reads() {
    let network = network(&["10.1.0.2/24"], &["10.1.0.1"], &["10.1.0.53"]).unwrap();
    let new = edits(&network, (25, 11));
    assert!(new.root.get("etc/remaster/address.sh").is_none());
    assert_eq!(new.root.get(PROFILES).unwrap().mode, 0o700);
    let path = format!("{PROFILES}/remaster-address-1.nmconnection");
    assert_eq!(new.root.get(&path).unwrap().mode, 0o600);
    let profile = text(&new, &path);
    assert!(profile.contains("[ipv4]\nmethod=manual\naddress1=10.1.0.2/24\ngateway=10.1.0.1\n"));
    assert!(profile.contains("[ipv6]\nmethod=auto\n") && !profile.contains("interface-name"));
    // the others keep DHCP, which NetworkManager would forget
    assert!(text(&new, &format!("{PROFILES}/remaster-dhcp.nmconnection")).contains("method=auto"));
    assert!(
        text(&new, "etc/NetworkManager/conf.d/remaster-dns.conf").ends_with("servers=10.1.0.53\n")
    );
}

#[test]
fn without_a_wish_nothing_is_put_in() {
    let nothing = network(&[], &[], &[]).unwrap();
    assert_eq!(edits(&nothing, (24, 11)).root.members().count(), 0);
}

fn bonded(bond: &[&str], address: &[&str], mtu: &[&str]) -> Result<Network> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let mut recipe = Recipe::default();
    (recipe.bond, recipe.address, recipe.mtu) = (owned(bond), owned(address), owned(mtu));
    Network::gather(&recipe)
}

#[test]
fn bonds_and_sizes_that_cannot_be_are_refused() {
    for (bond, address, mtu, what) in [
        ("bond0", "", "", "--bond: \"bond0\" names no members"),
        ("bond0:eno1", "", "", "does not bond two interfaces"),
        ("bond0:eno1,eno1", "", "", "--bond: eno1 is given twice"),
        ("bond0:eno1,bond0", "", "", "--bond: bond0 is a member of itself"),
        ("bond0:aa:bb:cc:dd:ee:ff,eth1", "", "", "\"aa:bb:cc:dd:ee:ff\" is a MAC address"),
        ("bond0:eth1,aa:bb:cc:dd:ee:ff", "", "", "\"aa:bb:cc:dd:ee:ff\" is a MAC address"),
        ("bond0:eno1,eno2.5", "", "", "--bond: eno2.5 is a VLAN"),
        ("bond0:eno1,wlan0", "", "", "\"wlan0\" is a wireless interface"),
        ("bond0:eno1,eno2:mode=1", "", "", "--bond: \"1\" is not a value of mode"),
        ("bond0:eno1,eno2:speed=9", "", "", "\"speed\" is not an option of a bond"),
        ("bond0:eno1,eno2:miimon=-1", "", "", "\"-1\" is not a value of miimon"),
        ("bond0:eno1,eno2:lacp_rate=fast", "", "", "lacp_rate does nothing in mode active-backup"),
        ("bond0:eno1,eno2:primary=eno3", "", "", "\"eno3\" is not a value of primary"),
        ("bond0:eno1,eno2:", "", "", "\"\" is not an option"),
        (
            "bond0:eno1,eno2",
            "eno1=10.0.0.2/8",
            "",
            "--address: eno1 is in bond0, and has no settings",
        ),
        ("bond0:eno1,eno2", "eno1.7=10.0.0.2/8", "", "--address: eno1 is in bond0"),
        ("bond0:eno1,eno2", "", "eno2=9000", "--mtu: eno2 is in bond0"),
        ("", "", "1279", "--mtu: \"1279\" is not a size of packets"),
        ("", "", "eth0=70000", "--mtu: \"70000\" is not a size of packets"),
        ("", "", "eth0=", "--mtu: \"\" is not a size of packets"),
        (
            "",
            "eth0.5=10.0.0.2/8",
            "eth0.5=9000",
            "9000 bytes of eth0.5 do not fit into 1500 of eth0",
        ),
        ("", "", "wifi=1400", "--mtu: for the wireless interface, and there is no --wifi"),
    ] {
        let list = |text: &'static str| if text.is_empty() { vec![] } else { vec![text] };
        let fault = bonded(&list(bond), &list(address), &list(mtu)).unwrap_err();
        assert!(fault.to_string().contains(what), "{fault}, not {what}");
        assert!(fault.advice().is_some(), "{fault}");
    }
    let two = bonded(&["bond0:a1,a2", "bond1:a2,a3"], &[], &[]).unwrap_err().to_string();
    assert_eq!(two, "--bond: a2 is given to two bonds");
    let two = bonded(&["bond0:a1,a2", "a1:a3,a4"], &[], &[]).unwrap_err().to_string();
    assert_eq!(two, "--bond: a1 is given to two bonds");
    let two = bonded(&[], &[], &["9000", "1400"]).unwrap_err().to_string();
    assert_eq!(two, "--mtu: a second size for the first wired interface");
}

#[test]
fn bonds_come_before_vlans_on_them_and_get_profiles_of_their_own() {
    let network = bonded(
        &["bond0:eno1,eno2:lacp_rate=fast,mode=802.3ad"],
        &["bond0.20=10.1.0.2/24", "eth5=10.2.0.2/24"],
        &["bond0.20=9000", "bond0=9000"],
    )
    .unwrap();
    assert_eq!(
        text(&edits(&network, (24, 11)), NETWORK),
        "bond0 bond eno1,eno2:mode=802.3ad,lacp_rate=fast,miimon=100\n\
         bond0 mtu 9000\n\
         eth5 address 10.2.0.2/24\n\
         bond0.20 mtu 9000\n\
         bond0.20 address 10.1.0.2/24\n"
    );
    let new = edits(&network, (25, 11));
    assert!(!new.is_private());
    let profile = |name: &str| text(&new, &format!("{PROFILES}/remaster-{name}.nmconnection"));
    let head = "[connection]\nid=remaster-address-1";
    assert_eq!(
        profile("address-1"),
        format!(
            "{head}\nuuid=5b0c6f0e-2a53-5d1c-9c56-000000000001\ntype=bond\nautoconnect-priority=100\ninterface-name=bond0\n\n\
             [bond]\nmode=802.3ad\nlacp_rate=fast\nmiimon=100\n\n[ethernet]\nmtu=9000\n\n\
             [ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n"
        )
    );
    assert_eq!(
        profile("address-1-2"),
        format!(
            "{head}-2\nuuid=5b0c6f0e-2a53-5d1c-9c58-000001000002\ntype=ethernet\nautoconnect-priority=200\n\
             interface-name=eno2\nmaster=bond0\nslave-type=bond\n\n[ethernet]\n"
        )
    );
    let vlan = profile("address-3");
    assert!(vlan.contains("type=vlan\n") && vlan.contains("interface-name=bond0.20\n"), "{vlan}");
    assert!(vlan.contains("[vlan]\nid=20\nparent=bond0\n\n[ethernet]\nmtu=9000\n"), "{vlan}");
    assert!(vlan.contains("[ipv4]\nmethod=manual\naddress1=10.1.0.2/24\n"), "{vlan}");
}

#[test]
fn a_size_or_a_bond_alone_leaves_addresses_to_dhcp() {
    let network = bonded(&["bond0:eno1,eno2"], &[], &["9000"]).unwrap();
    let new = edits(&network, (25, 11));
    for name in ["address-1", "address-2"] {
        let profile = text(&new, &format!("{PROFILES}/remaster-{name}.nmconnection"));
        assert!(profile.ends_with("[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"), "{profile}");
    }
    let bond = text(&new, &format!("{PROFILES}/remaster-address-1.nmconnection"));
    assert!(bond.contains("type=bond\n") && !bond.contains("[ethernet]"), "{bond}");
    let first = text(&new, &format!("{PROFILES}/remaster-address-2.nmconnection"));
    assert!(first.contains("[ethernet]\nmtu=9000\n") && !first.contains("interface-name"));
    assert!(new.root.get(&format!("{PROFILES}/remaster-dhcp.nmconnection")).is_some());
}

#[test]
fn the_wireless_interface_gets_its_address_by_the_profiles_of_networks() {
    let mut recipe = Recipe { wifi: vec!["Home".into()], ..Recipe::default() };
    recipe.address = vec!["wifi=10.3.0.2/24".into()];
    recipe.gateway = vec!["10.3.0.1".into()];
    recipe.mtu = vec!["wifi=1400".into()];
    let network = Network::gather(&recipe).unwrap();
    let new = edits(&network, (25, 11));
    assert!(new.root.get(&format!("{PROFILES}/remaster-address-1.nmconnection")).is_none());
    let (mtu, families) = network.of_wifi();
    assert_eq!(mtu, Some(1400));
    let expected = "[ipv4]\nmethod=manual\naddress1=10.3.0.2/24\ngateway=10.3.0.1\n";
    assert!(families.contains(expected) && families.ends_with("[ipv6]\nmethod=auto\n"));
    assert!(text(&new, NETWORK).starts_with("wifi mtu 1400\nwifi address 10.3.0.2/24\n"));
}
