//! Where artifacts are taken from: the official releases, or a mirror of them.

use std::path::PathBuf;

use reqwest::Url;

use super::Error;

/// Where files are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The addresses of the releases themselves.
    Official,
    /// A web server that has `https://HOST/PATH` below its own address, as `HOST/PATH`.
    Mirror(String),
    /// A folder on this machine of the same layout.
    Folder(PathBuf),
}

/// Where one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    Url(String),
    Path(PathBuf),
}

impl Files {
    /// Reads `--mirror`.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn parse(text: &str) -> Result<Files, Error> {
        if text.starts_with('/') {
            return Ok(Files::Folder(text.into()));
        }
        Ok(Files::Mirror(web(text)?.as_str().trim_end_matches('/').to_owned()))
    }

    /// Where the file with this official address is.
    ///
    /// # Errors
    /// [`Error::BadUrl`] when a mirror cannot have it.
    pub fn locate(&self, official: &str) -> Result<Location, Error> {
        if *self == Files::Official {
            return Ok(Location::Url(official.to_owned()));
        }
        let url = web(official)?;
        // Parsing takes `..` out of a path, but a host may have that name.
        let mut parts = url.host_str().into_iter().chain(url.path().split('/'));
        if parts.any(|part| part == ".." || part == ".") {
            return Err(Error::BadUrl {
                url: official.to_owned(),
                reason: String::from("it leads out of its place"),
            });
        }
        let below = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        Ok(match self {
            Files::Official => Location::Url(official.to_owned()),
            Files::Mirror(base) => Location::Url(format!("{base}/{below}")),
            Files::Folder(folder) => Location::Path(folder.join(below)),
        })
    }
}

/// The registry of names that name none.
const DOCKER_HUB: &str = "docker.io";

/// Where images are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// The registries that the images' names begin with.
    Official,
    /// A registry that has `REGISTRY/REPOSITORY` as a repository of that name.
    Mirror { server: String, prefix: String },
}

impl Registry {
    /// Reads `--registry`.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn parse(text: &str) -> Result<Registry, Error> {
        let url = web(text)?;
        let prefix = url.path().trim_matches('/').to_owned();
        Ok(Registry::Mirror { server: url.origin().ascii_serialization(), prefix })
    }

    /// The address of an image's repository in the API of its registry, and what it is called there after the
    /// colon.
    ///
    /// # Errors
    /// [`Error::BadUrl`] when the reference is not `REGISTRY/REPOSITORY:TAG`.
    pub fn locate(&self, reference: &str) -> Result<(String, String), Error> {
        let bad = || Error::BadUrl {
            url: reference.to_owned(),
            reason: String::from("an image is named REGISTRY/REPOSITORY:TAG"),
        };
        let (registry, rest) = reference.split_once('/').ok_or_else(bad)?;
        let (repository, tag) = rest.rsplit_once(':').ok_or_else(bad)?;
        let address = match self {
            // The one registry whose API is at another address than its name, and that has images without a folder.
            Registry::Official if registry == DOCKER_HUB => {
                let folder = if repository.contains('/') { "" } else { "library/" };
                format!("https://registry-1.docker.io/v2/{folder}{repository}")
            }
            Registry::Official => format!("https://{registry}/v2/{repository}"),
            Registry::Mirror { server, prefix } if prefix.is_empty() => {
                format!("{server}/v2/{registry}/{repository}")
            }
            Registry::Mirror { server, prefix } => format!("{server}/v2/{prefix}/{registry}/{repository}"),
        };
        Ok((address, tag.to_owned()))
    }
}

fn web(text: &str) -> Result<Url, Error> {
    let bad = |reason: String| Error::BadUrl { url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("`{}` is neither http nor https", url.scheme())));
    }
    // It would stand in logs and error messages.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::BadUrl {
            url: format!("{}://…@{}", url.scheme(), url.host_str().unwrap_or_default()),
            reason: String::from("it holds a login, which would be shown"),
        });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBEADM: &str = "https://dl.k8s.io/release/v1.36.5/bin/linux/amd64/kubeadm";

    #[test]
    fn a_mirror_has_official_paths_below_the_hosts_name() {
        for (mirror, expected) in [
            ("http://m:8080", "http://m:8080/dl.k8s.io/release/v1.36.5/bin/linux/amd64/kubeadm"),
            ("https://m/k8s/", "https://m/k8s/dl.k8s.io/release/v1.36.5/bin/linux/amd64/kubeadm"),
        ] {
            let found = Files::parse(mirror).unwrap().locate(KUBEADM).unwrap();
            assert_eq!(found, Location::Url(expected.into()));
        }
        let folder = Files::parse("/srv/k8s").unwrap().locate(KUBEADM).unwrap();
        assert_eq!(
            folder,
            Location::Path("/srv/k8s/dl.k8s.io/release/v1.36.5/bin/linux/amd64/kubeadm".into())
        );
        assert_eq!(Files::Official.locate(KUBEADM).unwrap(), Location::Url(KUBEADM.into()));
    }

    #[test]
    fn nothing_leads_out_of_a_folder() {
        let folder = Files::parse("/srv/k8s").unwrap();
        for url in
            ["https://a/../../etc/passwd", "https://a/%2e%2e/%2e%2e/etc/passwd", "https://../etc/passwd"]
        {
            match folder.locate(url) {
                Ok(Location::Path(path)) => {
                    assert!(path.components().all(|part| part.as_os_str() != ".."), "{path:?}");
                    assert!(path.starts_with("/srv/k8s"), "{path:?}");
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_a_login_is_not_repeated() {
        for text in ["", "mirror.lan", "ftp://m/a", "http://"] {
            assert!(Files::parse(text).is_err(), "{text}");
        }
        let error = Files::parse("https://me:secret@m/a").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn images_are_found_in_their_registry_or_below_its_name_in_a_mirror() {
        let reference = "registry.k8s.io/coredns/coredns:v1.14.2";
        for (registry, expected) in [
            (Registry::Official, "https://registry.k8s.io/v2/coredns/coredns"),
            (Registry::parse("http://m:5000").unwrap(), "http://m:5000/v2/registry.k8s.io/coredns/coredns"),
            (Registry::parse("https://m/p/").unwrap(), "https://m/v2/p/registry.k8s.io/coredns/coredns"),
        ] {
            assert_eq!(registry.locate(reference).unwrap(), (expected.into(), "v1.14.2".into()));
        }
        assert!(Registry::Official.locate("pause").is_err());
        for (reference, expected) in [
            ("docker.io/longhornio/longhorn-ui:v1", "https://registry-1.docker.io/v2/longhornio/longhorn-ui"),
            ("docker.io/nginx:1", "https://registry-1.docker.io/v2/library/nginx"),
        ] {
            assert_eq!(Registry::Official.locate(reference).unwrap().0, expected);
        }
    }
}
