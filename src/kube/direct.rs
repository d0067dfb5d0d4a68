//! A client of the API server for whoever has a route to it: on a control plane, or in a pod.

use ::kube::{Client, Config};

use super::{
    api::Api,
    error::Error,
    tunnel::{authority, configuration, unusable},
};

/// What messages call the place that asks.
const HERE: &str = "this machine";

/// Makes a client of the API server that `kubeconfig` (its text, secret) names, without SSH. Opens no connection yet; the
/// first question does. Proxies in the environment are ignored.
///
/// # Errors
/// [`Error::Kubeconfig`], as for [`super::connect`].
pub async fn direct(kubeconfig: &str) -> Result<Api, Error> {
    client(configuration(kubeconfig).await?)
}

/// Makes a client of the API server of the pod that this process runs in, with the credentials of its service account. The
/// token is read again when it is a minute old, for kubelet replaces it.
///
/// # Errors
/// [`Error::Kubeconfig`] outside of a pod, or in one without a service account's token.
pub fn in_cluster() -> Result<Api, Error> {
    client(Config::incluster().map_err(|error| unusable(&error))?)
}

fn client(mut config: Config) -> Result<Api, Error> {
    // As for a tunnel: choose before TLS does.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    config.proxy_url = None;
    let server = authority(&config.cluster_url)?;
    let client = Client::try_from(config).map_err(|error| unusable(&error))?;
    Ok(Api::new(client, HERE.to_owned(), server.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::fake::{Answer, Fake, SERVER};

    #[tokio::test]
    async fn who_has_a_route_needs_no_tunnel_and_proves_the_server_all_the_same() {
        let version = r#"{"major": "1", "minor": "36", "gitVersion": "v1.36.2", "gitCommit": "", "gitTreeState": "",
                          "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#;
        let fake = Fake::start("127.0.0.1", move |_, _| Answer::Json(200, version.to_owned())).await;
        let here = |ca: &str| {
            Fake::kubeconfig(ca)
                .replace(&format!("{SERVER}:6443"), &format!("127.0.0.1:{}", fake.address.port()))
        };
        let api = direct(&here(&fake.ca)).await.unwrap();
        assert_eq!(api.version().await.unwrap().to_string(), "1.36.2");
        let other = Fake::start("127.0.0.1", |_, _| Answer::Cut).await;
        let error = direct(&here(&other.ca)).await.unwrap().version().await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    }

    #[test]
    fn outside_of_a_pod_there_is_no_service_account() {
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
            assert!(matches!(in_cluster(), Err(Error::Kubeconfig { .. })));
        }
    }
}
