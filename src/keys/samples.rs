//! Public keys for tests, made by ssh-keygen 9.2 and thrown away; security keys are put together by hand.

pub(super) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAim24y7KzKx9zq5jeWee7v47ILBaQjjZEmkGa1XUEWu ed25519@test";
pub(super) const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIbabGlxDbEJ2ElDSsb5nXwAqH3TLWFIni3cVM3XI054QjUoDWbhYCyDotQevZ63zvwq/pSGhyZtG79RhmE8n80= ecdsab256@test";
pub(super) const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBCNjDM79FVqtxssK4kCX9+B3A5BHkWYP30igyLe4Xuw1TzIZGqAVET4G2UNj49kNPCWcE6KvquUEkKSue9yNlyKVb2CGwUDm10UtQMx6pQQbRtPNPacgkgvEe4rvOTxMGQ== ecdsab384@test";
pub(super) const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAD6gYe/xbf9tGw6rlm4S2dU6ganuAcWFMWnZgcJ/52eqfM8jkhFpyhELDQoWxmuvUrwzw/ezBQAxG4yPU8hVdMHQwGM4Q0z5WhZGBXuf/uxvZurL0rjSFsuxncKWVmLST0AwD/kMUZ0HjAWBefzVYkTGaTe0bYhLbMkNnAnUxYB/J3uEw== ecdsab521@test";
pub(super) const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDCMUa4Imdvag5e/l1Y2tg8Se26sU4Jg6rlanQR6l67wnvocS4hIfl9RpJHRM/W/53P2UKRl4h7yiMmLHm0+UfLANXSGuVZbqzoMVblbFrZCpP+4zW98bilcEjp7xhSiJBi8gBqgfO6BE6F9FDQZMCr5PXyymDYICJ3BJdVqhicSw== rsab1024@test";
pub(super) const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDiR3uC2qqefga16B7E8nQuehSByJE3+q0K1K96SsREy945UzuVQy4gE/XJV6W+AePdhS9pfHn3qI748JMZZHMXVBziOvmSmH0oefQhCapuTKFCjrASCLnTP1HWD8/vgxgWT25INYjAiwV4h/eouhNcQkEQcb7oc2sqCeG0MMvoN81lXzPR9TYNDQR6z3NmjwhFh9sY8vYrLmQl14CrX+QQ21Ijz2QZ5UVw9hgB/mrNprfXBW1Qfu7F1wudNh2Bl7HcbwOhJMxKnroQLL5KjCrkvV6Z8a9+0uty8EUlIwOlI4T/ahs5lFSDlpiNRFNpnIxahWUeRJMQbJ+wKfJU9yaF rsab2048@test";
pub(super) const RSA_3072: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCFXl1CRJHgjy04yqJtR8hkIB9LNri8PE0r5i1Hk/ErvntlytwBgZ/ZY+ApW5ohqDVGPd+cpb7ZqLWx3L1Bbabr50B6GpyjZFt+L8eFLythSzbTpvkCupU0XH50MtQM89StBxRCaUnhnm73lc3x6xO7TY3JL2F/bnLgEsy4uHxlPHW7qz/KxNW52NOzX7j79zNmdEtXU6hjr0zqkeIvvdcS5fU3lXLCZP7JCWpq/Dn+EkM7KV9det/r5qOn1PATDuU1STaF2cI16DSGbJxMnmPDB/60jWW9j8i3woxqh6OES6GSKEPG2B00uR5kkuSQE+DbrLO5NSHBbC0oKUzsv0nAzlZGljFTvahPqvGop62CA2/WAhyoBKb0BHWlMDZqWub4CA5Zgl2DgjJZxDXLyMvnUIJFZ/WPkpVnbUckYUer12YDmJJz/MRs7RPoKpDfelf/vaE0QU7FuVajyY/GNvSzjENzjx+67MMuMH6y6JEYu7leytfssB2KYkr1QncH2z0= rsab3072@test";
pub(super) const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBAOAv7ZikGciZiL2vAqw5J5YaKuz+bQIGjzx79C16/GHcNgA3fuPkQjdBGqaoW8oH05lXBQDHx/wgD7giG2l0p19KdgwVxT5KqjQw04t9CnGmc3g5wCaL2g3NzuzwmyBX15YBm7GnlpWfhpq6b3dpHWZebO3XVFikhTa0CjWZjdqnAAAAFQCqZXHiZgUvruJYMzcUaLa5eXxKMwAAAIEAuYZkstZ9+sOoZjA2sQQXDo+90Et9ZE5Dx27kmJkZUg6xP3aJ3Wb1jOY9ek0l1jn5SUSjlY5TPwmTVhWqAGoAKjb2eNc3xAL3+rMIlUp8NRhbiuRlbMV9pzAEwfaEa05XUYD3R7aQAX0MZn8PLGU21ZlSC8QufLhTf9/SaiS09bYAAACBAKWWcXfgwTZIm/u8JcENXg3oKBrde9zHb/LyV67ke+P5c+Vva0cS66rQlsqK/AXEN3uloOasHAhgHXbQsqwez0Brb0/C6hfukg88FFZg5g8Uf0LRnI23pTf7lgWYtVvwC8u2VRlJtAKxzbzDoSSwx02RbO6RC9nTzNWip6cn1dzg dsa@test";
/// Signed by an RSA key, valid for ever.
pub(super) const ED25519_CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIHMeAz5zwocwxp633tcmOL5mon5qjaORXV+rKFoLkVjuAAAAIAim24y7KzKx9zq5jeWee7v47ILBaQjjZEmkGa1XUEWuAAAAAAAAAAAAAAABAAAAAmlkAAAACAAAAARyb290AAAAAAAAAAD//////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAAEXAAAAB3NzaC1yc2EAAAADAQABAAABAQDiR3uC2qqefga16B7E8nQuehSByJE3+q0K1K96SsREy945UzuVQy4gE/XJV6W+AePdhS9pfHn3qI748JMZZHMXVBziOvmSmH0oefQhCapuTKFCjrASCLnTP1HWD8/vgxgWT25INYjAiwV4h/eouhNcQkEQcb7oc2sqCeG0MMvoN81lXzPR9TYNDQR6z3NmjwhFh9sY8vYrLmQl14CrX+QQ21Ijz2QZ5UVw9hgB/mrNprfXBW1Qfu7F1wudNh2Bl7HcbwOhJMxKnroQLL5KjCrkvV6Z8a9+0uty8EUlIwOlI4T/ahs5lFSDlpiNRFNpnIxahWUeRJMQbJ+wKfJU9yaFAAABFAAAAAxyc2Etc2hhMi01MTIAAAEAaNZ+TfMP854vyon41GsWwYzvjsYQYMZO5sbUVoJA3MZQepb+wcqp6wPMIQHhZsYjDLmRT+2OQ/yBGRty3RWH6Swk0kMXqBAHtb9JtWjhDNcDbVH7zVZJyTpsfgOrc5gote75hmPq9aRnMszIRuS5yJJUSVW6fiqdlCKzgmUdgLTRL+ltRfVokfsrUYJB0Q4qpYvfG8OsdJoOxWBTJiHbGqPKxMASDOYRjIobuRMTV6DfMLcH3RixxMPmioJqpIK5F9Y7bR7Fov5DsEjSbiLWzbSJMxOQWpF6COGCYTTI6apeCc2bJHSeelDapeZHTnVu/EkTc2hdnyp64wxhETv2wA== ed25519@test";
/// Signed by an ed25519 key, valid for ever, two principals.
pub(super) const P256_CERTIFICATE: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgiD0ohnb4LcIiUk4LDZ3rLeEeClFnltDpLuMv8nKFEh4AAAAIbmlzdHAyNTYAAABBBIbabGlxDbEJ2ElDSsb5nXwAqH3TLWFIni3cVM3XI054QjUoDWbhYCyDotQevZ63zvwq/pSGhyZtG79RhmE8n80AAAAAAAAAAAAAAAEAAAACaWQAAAARAAAABHJvb3QAAAAFbml4b3MAAAAAAAAAAP//////////AAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAgCKbbjLsrMrH3OrmN5Z57u/jsgsFpCONkSaQZrVdQRa4AAABTAAAAC3NzaC1lZDI1NTE5AAAAQIjirJPGMcsjI7wDQ0kuWYeb3rXHeVCRPM4m0T1RpvEX/Agej+lsqgClQOTxljSSIXGY9bMMWBzQ8AXCY4rclAw= ecdsab256@test";
/// Valid for two days.
pub(super) const P521_CERTIFICATE: &str = "ecdsa-sha2-nistp521-cert-v01@openssh.com AAAAKGVjZHNhLXNoYTItbmlzdHA1MjEtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgpvWTWxs0IO2UDiUPpxr0oL8mK+aS9UccShCnDdlmM4UAAAAIbmlzdHA1MjEAAACFBAD6gYe/xbf9tGw6rlm4S2dU6ganuAcWFMWnZgcJ/52eqfM8jkhFpyhELDQoWxmuvUrwzw/ezBQAxG4yPU8hVdMHQwGM4Q0z5WhZGBXuf/uxvZurL0rjSFsuxncKWVmLST0AwD/kMUZ0HjAWBefzVYkTGaTe0bYhLbMkNnAnUxYB/J3uEwAAAAAAAAAAAAAAAQAAAAJpZAAAAAgAAAAEcm9vdAAAAABrAjqmAAAAAGsE3aYAAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJkaW5nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5wZXJtaXQtdXNlci1yYwAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACAIptuMuysysfc6uY3lnnu7+OyCwWkI42RJpBmtV1BFrgAAAFMAAAALc3NoLWVkMjU1MTkAAABAuMCdy2RPKJ7rkExR2nDslxP57j27GokC+vboRuoPrgD9GLDme3DP5scfc4kjV36TKzW/eIV7hWM72kQ9UkjoBg== ecdsab521@test";
pub(super) const RSA_1024_CERTIFICATE: &str = "ssh-rsa-cert-v01@openssh.com AAAAHHNzaC1yc2EtY2VydC12MDFAb3BlbnNzaC5jb20AAAAg/YoG1PCY/rwLJN8rhhX9fLd8qiPxmHkdFkRb7e/lkK4AAAADAQABAAAAgQDCMUa4Imdvag5e/l1Y2tg8Se26sU4Jg6rlanQR6l67wnvocS4hIfl9RpJHRM/W/53P2UKRl4h7yiMmLHm0+UfLANXSGuVZbqzoMVblbFrZCpP+4zW98bilcEjp7xhSiJBi8gBqgfO6BE6F9FDQZMCr5PXyymDYICJ3BJdVqhicSwAAAAAAAAAAAAAAAQAAAAJpZAAAAAAAAAAAAAAAAP//////////AAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAgCKbbjLsrMrH3OrmN5Z57u/jsgsFpCONkSaQZrVdQRa4AAABTAAAAC3NzaC1lZDI1NTE5AAAAQHCLE1dhPFaqLOuXZUxfxX7OEMud5QVsOlI1yJ15VGUv9wfjVLxhL41AzC6xbMid9QSEJuDXH3iT1qf99TjClQ8= rsab1024@test";
/// Signed by an ECDSA key, with `force-command` and `source-address`.
pub(super) const RSA_2048_CERTIFICATE: &str = "ssh-rsa-cert-v01@openssh.com AAAAHHNzaC1yc2EtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgfQLUOBtNMWQZwo0M1z9aN6CODPbcgS2pz+jm/dfsqM0AAAADAQABAAABAQDiR3uC2qqefga16B7E8nQuehSByJE3+q0K1K96SsREy945UzuVQy4gE/XJV6W+AePdhS9pfHn3qI748JMZZHMXVBziOvmSmH0oefQhCapuTKFCjrASCLnTP1HWD8/vgxgWT25INYjAiwV4h/eouhNcQkEQcb7oc2sqCeG0MMvoN81lXzPR9TYNDQR6z3NmjwhFh9sY8vYrLmQl14CrX+QQ21Ijz2QZ5UVw9hgB/mrNprfXBW1Qfu7F1wudNh2Bl7HcbwOhJMxKnroQLL5KjCrkvV6Z8a9+0uty8EUlIwOlI4T/ahs5lFSDlpiNRFNpnIxahWUeRJMQbJ+wKfJU9yaFAAAAAAAAAAAAAAABAAAAAmlkAAAACAAAAARyb290AAAAAAAAAAD//////////wAAAD8AAAANZm9yY2UtY29tbWFuZAAAAAYAAAACbHMAAAAOc291cmNlLWFkZHJlc3MAAAAOAAAACjEwLjAuMC4wLzgAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAACsAAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAD6gYe/xbf9tGw6rlm4S2dU6ganuAcWFMWnZgcJ/52eqfM8jkhFpyhELDQoWxmuvUrwzw/ezBQAxG4yPU8hVdMHQwGM4Q0z5WhZGBXuf/uxvZurL0rjSFsuxncKWVmLST0AwD/kMUZ0HjAWBefzVYkTGaTe0bYhLbMkNnAnUxYB/J3uEwAAAKYAAAATZWNkc2Etc2hhMi1uaXN0cDUyMQAAAIsAAABBDZ43WmVl4cSkqIwl1Vqc+0o2dbTWquJCHbtIHEsMI1bn++mDzAXGMgeY7PmTAZWYxPEq8AWPZfzeDx5cdT7UicMAAABCALkLCPgZqs2qyi2aTuiLRKgFIcGa6mEpjttn6jFl9GOsqU5CStTMNsJXe4FwW9ZXIhsC11pz8xCCa8lCuDEgyFd8 rsab2048@test";
/// Of a host.
pub(super) const RSA_3072_CERTIFICATE: &str = "ssh-rsa-cert-v01@openssh.com AAAAHHNzaC1yc2EtY2VydC12MDFAb3BlbnNzaC5jb20AAAAg1bOb2d1wQvx6nOb4mHLng7RHIMkAjT6Fo80TlYg2RR8AAAADAQABAAABgQCFXl1CRJHgjy04yqJtR8hkIB9LNri8PE0r5i1Hk/ErvntlytwBgZ/ZY+ApW5ohqDVGPd+cpb7ZqLWx3L1Bbabr50B6GpyjZFt+L8eFLythSzbTpvkCupU0XH50MtQM89StBxRCaUnhnm73lc3x6xO7TY3JL2F/bnLgEsy4uHxlPHW7qz/KxNW52NOzX7j79zNmdEtXU6hjr0zqkeIvvdcS5fU3lXLCZP7JCWpq/Dn+EkM7KV9det/r5qOn1PATDuU1STaF2cI16DSGbJxMnmPDB/60jWW9j8i3woxqh6OES6GSKEPG2B00uR5kkuSQE+DbrLO5NSHBbC0oKUzsv0nAzlZGljFTvahPqvGop62CA2/WAhyoBKb0BHWlMDZqWub4CA5Zgl2DgjJZxDXLyMvnUIJFZ/WPkpVnbUckYUer12YDmJJz/MRs7RPoKpDfelf/vaE0QU7FuVajyY/GNvSzjENzjx+67MMuMH6y6JEYu7leytfssB2KYkr1QncH2z0AAAAAAAAAAAAAAAIAAAAEaG9zdAAAAAAAAAAAAAAAAP//////////AAAAAAAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACAIptuMuysysfc6uY3lnnu7+OyCwWkI42RJpBmtV1BFrgAAAFMAAAALc3NoLWVkMjU1MTkAAABAZYSQpF/VVfVt/bdBjDquMYRuBB/GLllvrj3xrFDxt3eEBptfB51fp7Uauz2FUxHvj61psFCcdRbGOr9NlPjLBg== rsab3072@test";

/// Keys and what `ssh-keygen -l` says of them.
pub(super) const FINGERPRINTS: [(&str, &str); 11] = [
    (ED25519, "SHA256:1uqzuOdbyFeGfqasY9nRY+8/Mx7SntDs+5goOEaGR6c"),
    (P256, "SHA256:CLTpwXA1NZjw2LeiyvDf5gBJl1U6lQKmDrGorUnHsYQ"),
    (P384, "SHA256:vMssawSUf9KKvWruwmT7HxkIEBj++Ca5oEILiaOIABo"),
    (P521, "SHA256:46sSpB0IDPTTMj0ERwfNbq/9h8c7rCLFmRRDrl7kaxo"),
    (RSA_2048, "SHA256:kML5UjoWYcWPbgHOYoh1oKXjLO2GD7rMz0GGKEsz71g"),
    (RSA_3072, "SHA256:CZHnv23FCeypV2e4b2QfmzQEmgmd2V9Ss7c18orCo/M"),
    (ED25519_CERTIFICATE, "SHA256:1uqzuOdbyFeGfqasY9nRY+8/Mx7SntDs+5goOEaGR6c"),
    (P256_CERTIFICATE, "SHA256:CLTpwXA1NZjw2LeiyvDf5gBJl1U6lQKmDrGorUnHsYQ"),
    (P521_CERTIFICATE, "SHA256:46sSpB0IDPTTMj0ERwfNbq/9h8c7rCLFmRRDrl7kaxo"),
    (RSA_2048_CERTIFICATE, "SHA256:kML5UjoWYcWPbgHOYoh1oKXjLO2GD7rMz0GGKEsz71g"),
    (RSA_3072_CERTIFICATE, "SHA256:CZHnv23FCeypV2e4b2QfmzQEmgmd2V9Ss7c18orCo/M"),
];

/// The strings behind the type of an ed25519 security key: point and application.
pub(super) const SK_ED25519_FIELDS: [&[u8]; 2] = [&[7; 32], b"ssh:"];

/// The strings behind the type of an ECDSA security key: curve, point and application.
pub(super) fn sk_p256_fields() -> [Vec<u8>; 3] {
    [b"nistp256".to_vec(), p256_point(), b"ssh:".to_vec()]
}

pub(super) fn sk_ed25519() -> String {
    plain("sk-ssh-ed25519@openssh.com", &SK_ED25519_FIELDS)
}

pub(super) fn sk_p256() -> String {
    plain("sk-ecdsa-sha2-nistp256@openssh.com", &sk_p256_fields())
}

/// A sound point, written in the way sshd does not read.
pub(super) fn compressed_p256() -> String {
    let x = &p256_point()[1..33];
    plain("ecdsa-sha2-nistp256", &[b"nistp256".as_slice(), &[&[2], x].concat()])
}

/// A line with a plain key of any fields.
pub(super) fn plain(name: &str, fields: &[impl AsRef<[u8]>]) -> String {
    format!("{name} {} by hand", base64(&[string(name.as_bytes()), strings(fields)].concat()))
}

/// A line with a certificate whose signature is empty.
pub(super) fn certificate(name: &str, fields: &[impl AsRef<[u8]>]) -> String {
    let (name_part, nonce) = (string(name.as_bytes()), string(&[9; 32]));
    let head = [&[0; 8][..], &[0, 0, 0, 1], &string(b"id"), &string(b"")].concat();
    let tail = [&[0; 8][..], &[0xff; 8], &strings(&[b""; 5])].concat();
    format!("{name} {}", base64(&[name_part, nonce, strings(fields), head, tail].concat()))
}

fn p256_point() -> Vec<u8> {
    let blob = super::blob::base64(P256.split(' ').nth(1).unwrap()).unwrap();
    blob.last_chunk::<65>().unwrap().to_vec()
}

fn strings(fields: &[impl AsRef<[u8]>]) -> Vec<u8> {
    fields.iter().flat_map(|field| string(field.as_ref())).collect()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|i| u32::from(*group.get(i).unwrap_or(&0)));
        let word = a << 16 | b << 8 | c;
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let sextet = usize::try_from(word >> shift & 63).unwrap();
            text.push(if i <= group.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}
