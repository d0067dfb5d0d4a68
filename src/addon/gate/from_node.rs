//! Asking from a node, over the SSH connection to it: addresses of services, and pods that run there. What is asked is in no
//! command, so that a login may be in it.

use std::{net::SocketAddr, time::Duration};

use tokio::time::timeout;

use super::{
    http::{Answer, Question},
    outside,
};
use crate::transport::Host;

const PATIENCE: Duration = Duration::from_secs(20);

/// One question and its answer; in words, why there is none.
pub(super) async fn ask(host: &dyn Host, to: SocketAddr, question: &Question) -> Result<Answer, String> {
    let asked = async {
        let stream = host.forward(to).await.map_err(outside::refusal)?;
        outside::exchange(stream, question).await
    };
    in_time(asked).await
}

/// The same by TLS, from a server that shows this certificate (DER) and no other.
pub(super) async fn ask_securely(
    host: &dyn Host,
    to: SocketAddr,
    certificate: &[u8],
    question: &Question,
) -> Result<Answer, String> {
    let asked = async {
        let stream = host.forward(to).await.map_err(outside::refusal)?;
        let (stream, shown) = outside::handshake(stream, &question.host).await?;
        if shown != certificate {
            return Err("it shows another certificate than the one in its Secret".to_owned());
        }
        outside::exchange(stream, question).await
    };
    in_time(asked).await
}

async fn in_time(asked: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, asked).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::fake::{Answer as Page, Fake};

    #[tokio::test]
    async fn nothing_is_said_to_who_shows_another_certificate() {
        let server = Fake::start("registry.test", |_, _| Page::Json(200, "{}".to_owned())).await;
        let (host, to) = (server.host(), server.address);
        let (_, shown) = outside::handshake(host.forward(to).await.unwrap(), "registry.test").await.unwrap();
        let question = Question::new("registry.test", "/v2/");
        let refused = ask_securely(&*host, to, b"another", &question).await.unwrap_err();
        assert_eq!(refused, "it shows another certificate than the one in its Secret");
        assert!(server.requests.lock().unwrap().is_empty(), "nor a login");
        let answer = ask_securely(&*host, to, &shown, &question).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
        let plain = ask(&*host, to, &question).await;
        assert!(plain.is_err(), "{plain:?}");
    }
}
