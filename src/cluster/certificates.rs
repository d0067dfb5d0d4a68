//! The certificates that a cluster lives by, and how long they last.

use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use crate::transport::{self, Host, Script};

/// The role that renews them.
pub const RENEWAL: &str = "renewal";

const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Where certificates are: kubeadm's, those of etcd on hosts of its own and what API servers show it, and the kubelet's.
const PATHS: [&str; 8] = [
    "/etc/kubernetes/pki/*.crt",
    "/etc/kubernetes/pki/etcd/*.crt",
    "/etc/kubernetes/etcd/*.crt",
    "/etc/kubernetes/etcd/*.pem",
    "/etc/etcd/pki/*.crt",
    "/etc/etcd/pki/*.pem",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
    "/var/lib/kubelet/pki/kubelet-server-current.pem",
];

/// Prints each certificate on the host as `PATH BASE64`, where the base64 is that of PEM. Keys that are in the same file
/// stay where they are. It begins with a loop over [`PATHS`].
const SCRIPT: &str = r#"; do
	[ -e "$path" ] || continue
	printf '%s %s\n' "$path" "$(sed -n '/^-----BEGIN CERTIFICATE-----/,/^-----END CERTIFICATE-----/p' "$path" | base64 -w 0)"
done
for path in /etc/kubernetes/*.conf; do
	[ -e "$path" ] || continue
	printf '%s %s\n' "$path" "$(sed -n 's/^ *client-certificate-data: *//p' "$path")"
done
exit 0
"#;

/// A certificate on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub host: String,
    pub path: String,
    /// Such as `CN=kube-apiserver`.
    pub subject: String,
    /// Whether it signs others.
    pub authority: bool,
    pub expires: Timestamp,
}

impl Certificate {
    /// Whole days that are left; negative once it has expired.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.expires.as_second().saturating_sub(now.as_second()).div_euclid(86_400)
    }

    /// Whether it has expired: nobody takes it any more.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

/// The certificates on a host that Kubernetes and etcd work with.
///
/// # Errors
/// When the host is lost.
pub async fn read(host: &dyn Host) -> Result<Vec<Certificate>, transport::Error> {
    let script = format!("for path in {}{SCRIPT}", PATHS.join(" "));
    let output = host.run(Script::new(script).timeout(READ_TIMEOUT)).await?;
    Ok(parse(host.name(), &String::from_utf8_lossy(&output.stdout)))
}

/// What the script answered. What is no certificate is passed over: a kubeconfig may have none in it.
fn parse(host: &str, answer: &str) -> Vec<Certificate> {
    let certificate = |line: &str| {
        let (path, text) = line.split_once(' ')?;
        let pem = BASE64.decode(text.as_bytes()).ok()?;
        // The first of several is its owner's, the others are those who signed it.
        let (_, pem) = parse_x509_pem(&pem).ok()?;
        let (_, x509) = parse_x509_certificate(&pem.contents).ok()?;
        Some(Certificate {
            host: host.to_string(),
            path: path.to_string(),
            subject: x509.subject().to_string(),
            authority: x509.is_ca(),
            expires: Timestamp::from_second(x509.validity().not_after.timestamp()).ok()?,
        })
    };
    answer.lines().filter_map(certificate).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn pem(name: &str, authority: bool) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(2027, 3, 1);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn certificates_are_read_and_everything_else_is_passed_over() {
        let chain = pem("kube-apiserver", false) + &pem("other", true);
        let line = |path: &str, text: &str| format!("{path} {}\n", BASE64.encode(text.as_bytes()));
        let answer = [
            line("/etc/kubernetes/pki/apiserver.crt", &chain),
            line("/etc/kubernetes/pki/ca.crt", &pem("kubernetes", true)),
            line("/etc/kubernetes/pki/odd.crt", "no certificate"),
            "/etc/kubernetes/kubelet.conf \n".to_string(),
        ];
        let read = parse("cp1", &answer.concat());
        let short: Vec<_> =
            read.iter().map(|it| (it.path.as_str(), it.subject.as_str(), it.authority)).collect();
        assert_eq!(
            short,
            [
                ("/etc/kubernetes/pki/apiserver.crt", "CN=kube-apiserver", false),
                ("/etc/kubernetes/pki/ca.crt", "CN=kubernetes", true)
            ]
        );
        for (now, days) in [
            ("2027-02-28T00:00:00Z", 1),
            ("2027-02-28T00:00:01Z", 0),
            ("2027-03-01T00:00:00Z", 0),
            ("2027-03-01T00:00:01Z", -1),
        ] {
            assert_eq!(read[0].days_left(now.parse().unwrap()), days, "{now}");
        }
        assert!(!read[0].has_expired("2027-02-28T23:59:59Z".parse().unwrap()));
        assert!(read[0].has_expired("2027-03-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn every_certificate_that_roles_name_is_read() {
        let read = |path: &str| {
            PATHS.iter().any(|pattern| match pattern.split_once('*') {
                Some((folder, end)) => path.strip_prefix(folder).is_some_and(|name| {
                    name.strip_suffix(end).is_some_and(|name| !name.is_empty() && !name.contains('/'))
                }),
                None => path == *pattern,
            })
        };
        let mut texts = Vec::new();
        let mut open =
            ["roles", "templates"].map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).to_vec();
        while let Some(path) = open.pop() {
            match path.is_dir() {
                true => open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())),
                false => texts.push(fs::read_to_string(path).unwrap()),
            }
        }
        let words = texts.iter().flat_map(|text| {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))).collect::<Vec<_>>()
        });
        let named: BTreeSet<&str> = words
            .filter(|word| ["/etc/kubernetes/", "/etc/etcd/"].iter().any(|folder| word.starts_with(folder)))
            .filter(|word| word.ends_with(".crt") || word.ends_with(".pem"))
            .collect();
        assert!(named.contains("/etc/etcd/pki/member.pem"), "{named:?}");
        assert!(named.contains("/etc/kubernetes/etcd/client.pem"), "{named:?}");
        let unseen: Vec<_> = named.into_iter().filter(|path| !read(path)).collect();
        assert_eq!(unseen, [] as [&str; 0]);
    }
}
