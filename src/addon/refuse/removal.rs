//! Add-ons that may not be removed.

use crate::{
    addon::{Definition, Error},
    kube::Api,
};

/// Refuses to remove an add-on that the inventory asks for, and one that connects the pods of nodes that there are.
///
/// # Errors
/// [`Error::Wanted`], [`Error::Network`], and when the API server does not answer.
pub async fn removal(api: &Api, name: &str, known: Option<&Definition>, wanted: bool) -> Result<(), Error> {
    if wanted {
        return Err(Error::Wanted { name: name.to_owned() });
    }
    if !known.is_some_and(|known| known.network) {
        return Ok(());
    }
    match api.nodes().await?.len() {
        0 => Ok(()),
        nodes => Err(Error::Network { name: name.to_owned(), nodes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        addon::{definition, gate::testing::Cluster},
        engine::Library,
    };

    #[tokio::test]
    async fn neither_the_network_of_nodes_goes_nor_what_is_wanted() {
        let refused = async |nodes: &[&str], name: &str, wanted: bool| {
            let cluster = Cluster::new(nodes).await;
            let known = definition(&Library::default(), name).ok();
            let answer = removal(cluster.bench("").api, name, known.as_ref(), wanted).await;
            answer.err().map(|error| error.to_string()).unwrap_or_default()
        };
        let network = refused(&["cp1", "w1"], "cilium", false).await;
        assert!(network.contains("`cilium` connects the pods of 2 nodes"), "{network}");
        assert_eq!(refused(&[], "cilium", false).await, "");
        assert_eq!(refused(&["cp1"], "keda", false).await, "");
        assert_eq!(refused(&["cp1"], "one-of-mine", false).await, "");
        assert!(refused(&["cp1"], "keda", true).await.contains("the inventory asks for `keda`"));
    }
}
