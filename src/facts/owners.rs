//! Who has addresses, as a host sees it on its own wire (ARP, RFC 826).

use std::{net::Ipv4Addr, time::Duration};

use crate::transport::{Error, Host, Script, quote};

/// The kernel's three questions, once a second, and some more.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a host answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Addresses and the MAC addresses, in lower case, that answered for them.
    pub owners: Vec<(Ipv4Addr, String)>,
    /// Addresses of its own.
    pub own: Vec<Ipv4Addr>,
    /// How many addresses nobody has.
    pub free: usize,
    /// Why it could not ask.
    pub unasked: Option<String>,
}

impl Owners {
    /// Asks a host for all of these at once; it takes a second, or three where nobody answers. What is not on its own wire is
    /// left out. Kernels remember 1024 neighbours, so ask for no more than some hundreds.
    ///
    /// # Errors
    /// When the host is lost, or the script does not end.
    pub async fn ask(host: &dyn Host, addresses: &[Ipv4Addr]) -> Result<Owners, Error> {
        let words: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
        let text = format!("addresses={}\n{}", quote(&words.join(" ")), include_str!("owners.sh"));
        let output = host.run(Script::new(text).timeout(TIMEOUT)).await?;
        Ok(Owners::parse(&output.whole(host.name(), "the look for addresses")?))
    }

    /// Reads the answer of the script. Lines it does not know are passed over.
    pub fn parse(answer: &str) -> Owners {
        let mut parsed = Owners::default();
        for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "owner" => parsed.owners.extend(
                    value.split_once(' ').and_then(|(ip, mac)| Some((ip.parse().ok()?, mac.to_lowercase()))),
                ),
                "own" => parsed.own.extend(value.parse::<Ipv4Addr>()),
                "nobody" => parsed.free += 1,
                "unasked" => parsed.unasked = Some(value.to_owned()),
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Local;

    #[tokio::test]
    async fn a_shell_understands_the_question() {
        let host = Local::open("here").await.unwrap();
        let answer = Owners::ask(&host, &[Ipv4Addr::LOCALHOST]).await.unwrap();
        let without_ip = answer.unasked.as_deref() == Some("there is no ip (iproute2) on the host");
        assert!(without_ip || answer.own == [Ipv4Addr::LOCALHOST], "{answer:?}");
    }

    #[test]
    fn what_the_script_says_is_read() {
        let answer =
            "owner=10.0.0.5 AA:BB:CC:00:00:01\nown=10.0.0.6\nnobody=10.0.0.7\nnobody=10.0.0.8\nelse=1\nx\n";
        let expected = Owners {
            owners: vec![([10, 0, 0, 5].into(), "aa:bb:cc:00:00:01".to_owned())],
            own: vec![[10, 0, 0, 6].into()],
            free: 2,
            unasked: None,
        };
        assert_eq!(Owners::parse(answer), expected);
        assert_eq!(Owners::parse("unasked=no bash\n").unasked.as_deref(), Some("no bash"));
    }
}
