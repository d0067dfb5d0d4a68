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
