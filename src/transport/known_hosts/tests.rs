//! Every kind of line.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";
/// Of another algorithm.
const E: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlz\
    dHAyNTYAAABBBC1fCd5vYsl0Gux1rDZ8gMDvFyxNk1hFi1uZC/RGKmt/GAeFgEtIKO2T24/Qu6fq4cwaXuYcS6C4Vxr9wdHj8JA=";

fn known(lines: &str, address: &str, port: u16) -> KnownHost {
    let mut known = KnownHost::load(&[], address, port).unwrap();
    known.parse(Path::new("kh"), &lines.replace("KEY-A", A).replace("KEY-B", B).replace("KEY-E", E));
    known
}

fn verdict(lines: &str, address: &str, port: u16) -> String {
    match known(lines, address, port).verdict_on_key(HostKey::parse(A).unwrap().public()) {
        Verdict::Known => "known".into(),
        Verdict::Unknown => "unknown".into(),
        Verdict::Changed { expected } => {
            let lines: Vec<_> = expected.iter().map(|key| key.line.to_string()).collect();
            format!("changed {}", lines.join(" "))
        }
        Verdict::Revoked { place } => format!("revoked {place}"),
        Verdict::Uncertified { reason } => format!("uncertified: {reason}"),
    }
}

#[test]
fn lines() {
    for (lines, address, port, expected) in [
        ("", "h", 22, "unknown"),
        ("h KEY-A", "h", 22, "known"),
        ("h KEY-A comment with words", "h", 22, "known"),
        ("  \t h\tKEY-A\r\n", "h", 22, "known"),
        ("# h KEY-A", "h", 22, "unknown"),
        ("H KEY-A", "h", 22, "known"),
        ("h KEY-A", "H", 22, "known"),
        ("h KEY-B", "h", 22, "changed 1"),
        ("h KEY-B\nh KEY-A", "h", 22, "known"),
        ("\nh KEY-B\n# c\nh,g KEY-B", "h", 22, "changed 2 4"),
        ("g,h,i KEY-A", "h", 22, "known"),
        ("hh KEY-A", "h", 22, "unknown"),
        // Wildcards and negation.
        ("* KEY-A", "h", 22, "known"),
        ("10.0.0.* KEY-A", "10.0.0.17", 22, "known"),
        ("10.0.0.? KEY-A", "10.0.0.17", 22, "unknown"),
        ("*.example.??? KEY-A", "a.b.example.org", 22, "known"),
        ("*a*b*c KEY-A", "xaybzabc", 22, "known"),
        ("*a*b*c KEY-A", "xaybzabcd", 22, "unknown"),
        ("*,!h KEY-A", "h", 22, "unknown"),
        ("!h,* KEY-A", "h", 22, "unknown"),
        ("!h KEY-A", "g", 22, "unknown"),
        // Ports.
        ("[h]:2222 KEY-A", "h", 2222, "known"),
        ("[h]:2222 KEY-B", "h", 2222, "changed 1"),
        ("[h]:2222 KEY-B", "h", 22, "unknown"),
        ("h KEY-A", "h", 2222, "known"),
        ("h KEY-B", "h", 2222, "unknown"),
        ("[h]:2222 KEY-B\nh KEY-A", "h", 2222, "changed 1"),
        ("[h]:2222 KEY-E\nh KEY-A", "h", 2222, "changed 1"),
        ("[h]:2222 KEY-B\n[h]:2222 KEY-A\nh KEY-B", "h", 2222, "known"),
        ("@cert-authority [h]:2222 KEY-B\nh KEY-A", "h", 2222, "known"),
        ("[h]:2222 KEY-B\nh KEY-A", "h", 22, "known"),
        ("[h]:2222 KEY-B\n[h]:23 KEY-A", "h", 2222, "changed 1"),
        ("[fd00::1]:2222 KEY-A", "fd00::1", 2222, "known"),
        ("fd00::1 KEY-A", "fd00::1", 22, "known"),
        // Markers.
        ("@revoked h KEY-A", "h", 22, "revoked kh:1"),
        ("h KEY-A\n@revoked * KEY-A", "h", 22, "revoked kh:2"),
        ("@revoked * KEY-B\nh KEY-A", "h", 22, "known"),
        ("@revoked g KEY-A\nh KEY-A", "h", 22, "known"),
        ("@cert-authority * KEY-B\nh KEY-A", "h", 22, "known"),
        ("@cert-authority * KEY-A", "h", 22, "unknown"),
        // Lines that make no sense.
        ("h\nh ssh-ed25519\nh ssh-ed25519 AAAA\nh future-algorithm AAAA\nh KEY-A", "h", 22, "known"),
        ("|1|no|hash KEY-A", "h", 22, "unknown"),
    ] {
        assert_eq!(verdict(lines, address, port), expected, "{lines:?} {address} {port}");
    }
}

#[test]
fn hashed_names() {
    let hashed = |name: &str| {
        let salt = [7; 20];
        let mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(name).finalize().into_bytes();
        format!("|1|{}|{} KEY-A", BASE64.encode(&salt), BASE64.encode(&mac))
    };
    assert_eq!(verdict(&hashed("h"), "h", 22), "known");
    assert_eq!(verdict(&hashed("h"), "g", 22), "unknown");
    assert_eq!(verdict(&hashed("[h]:2222"), "h", 2222), "known");
    assert_eq!(verdict(&hashed("h"), "h", 2222), "known");
}

#[test]
fn fingerprints_are_those_of_openssh() {
    let key = HostKey::parse(B).unwrap();
    // By `ssh-keygen -lf`.
    assert_eq!(key.to_string(), "ssh-ed25519 SHA256:wX9j+SP2h7N0y1ZKQdM3E2rXGeJIBFZbmJjfvWeAgd0");
    assert_eq!(key.openssh(), B);
}

#[test]
fn appending_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/.ssh/known_hosts");
    let (a, b) = (HostKey::parse(A).unwrap(), HostKey::parse(B).unwrap());
    append(&file, "Host", 22, &a).unwrap();
    append(&file, "host", 22, &a).unwrap();
    append(&file, "fd00::1", 2222, &b).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("host {A}\n[fd00::1]:2222 {B}\n"));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);

    fs::write(&file, "# no newline at the end").unwrap();
    append(&file, "h", 22, &a).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("# no newline at the end\nh {A}\n"));
}
