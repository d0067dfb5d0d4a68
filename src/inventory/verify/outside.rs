//! The proxy and the mirrors of registries.

use miette::Severity;

use crate::{
    inventory::{Inventory, Mirror},
    yaml::{Document, Problem, Span},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    proxy(document, problems);
    for (registry, mirrors) in &document.value.cluster.registries {
        name(document, registry, mirrors, problems);
        for (index, mirror) in mirrors.iter().enumerate() {
            let at =
                |key: &str| document.tree.at(&["cluster", "registries", registry, &index.to_string(), key]);
            problems.extend(address(&mirror.url, at("url"), "https://mirror.office.lan:5000"));
            certificates(mirror, at, problems);
        }
    }
}

fn proxy(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let Some(proxy) = &document.value.cluster.proxy else { return };
    let at = |key: &str| document.tree.at(&["cluster", "proxy", key]);
    for (key, value) in [("http", &proxy.http), ("https", &proxy.https)] {
        let Some(value) = value else { continue };
        problems.extend(address(value, at(key), "http://proxy.office.lan:3128"));
    }
    if proxy.http.is_none() && proxy.https.is_none() && document.is_whole(&["cluster", "proxy"]) {
        problems.push(
            Problem::new(document.tree.key_at(&["cluster", "proxy"]), "the proxy has no address")
                .label("neither `http` nor `https`")
                .help("add `http: http://proxy.office.lan:3128`, or leave `proxy` out"),
        );
    }
}

/// What is wrong with the address of a server. What is right can stand in TOML, in units and in apt's configuration as
/// it is.
fn address(text: &str, span: Span, example: &str) -> Option<Problem> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let server = rest.unwrap_or_default().split('/').next().unwrap_or_default();
    if server.contains('@') {
        return Some(
            Problem::new(span, "the address holds a user or password")
                .label("everybody on the hosts could read it")
                .help(
                    "let the server know the hosts by their addresses, or take one that asks for no password",
                ),
        );
    }
    let odd = |c: char| !c.is_ascii_alphanumeric() && !"-._~:/[]".contains(c);
    (server.is_empty() || rest.is_some_and(|rest| rest.contains(odd))).then(|| {
        Problem::new(span, format!("`{text}` is no address of a server"))
            .label("no http:// or https:// address")
            .help(format!("write it like {example}"))
    })
}

fn name(document: &Document<Inventory>, registry: &str, mirrors: &[Mirror], problems: &mut Vec<Problem>) {
    let span = document.tree.key_at(&["cluster", "registries", registry]);
    let (host, port) = registry.split_once(':').unwrap_or((registry, "443"));
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    let good = !host.is_empty()
        && host.chars().all(known)
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    if registry != "_default" && !good {
        problems.push(
            Problem::new(span, format!("`{registry}` is no name of a registry"))
                .label("not as it stands in images")
                .help("write what comes before the first slash of an image: `registry.k8s.io`, `docker.io`, `registry.office.lan:5000`"),
        );
    } else if mirrors.is_empty() && document.is_whole(&["cluster", "registries", registry]) {
        problems.push(
            Problem::new(span, format!("`{registry}` has no mirror"))
                .label("nothing to ask before it")
                .help("add `- {url: https://mirror.office.lan:5000}`, or leave the registry out"),
        );
    }
}

fn certificates(mirror: &Mirror, at: impl Fn(&str) -> Span, problems: &mut Vec<Problem>) {
    let plain = mirror.url.starts_with("http://");
    if let Some(ca) = &mirror.ca {
        if !ca.trim_start().starts_with("-----BEGIN CERTIFICATE-----")
            || !ca.trim_end().ends_with("-----END CERTIFICATE-----")
        {
            problems.push(
                Problem::new(at("ca"), "`ca` is no certificate")
                    .label("not PEM")
                    .help("write `ca: |` and below it, indented, the lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"),
            );
        }
        if mirror.skip_verify {
            problems.push(
                Problem::new(at("skip_verify"), "the `ca` of this mirror has no effect")
                    .label("takes any certificate")
                    .also(at("ca"), "not used")
                    .help("remove one of them: `ca` is the safe one"),
            );
        }
    }
    let (key, used) = if mirror.ca.is_some() { ("ca", true) } else { ("skip_verify", mirror.skip_verify) };
    if plain && used {
        problems.push(
            Problem::new(at(key), format!("`{key}` has no effect on a mirror without TLS"))
                .label("not used")
                .also(at("url"), "http:// shows no certificate")
                .severity(Severity::Warning)
                .help("remove it, or write https:// in `url`"),
        );
    }
}
