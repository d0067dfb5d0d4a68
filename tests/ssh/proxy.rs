//! A TCP proxy that breaks connections at a chosen place.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What happens to a connection at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both sides are closed.
    Close,
    /// Nothing is passed on any more, as with a cable that was pulled.
    Silence,
}

/// Which way the bytes go that are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    FromServer,
    ToServer,
}

pub struct Proxy {
    pub port: u16,
    /// Bytes passed on, of all connections: from and to the server.
    pub passed: Arc<[AtomicU64; 2]>,
    cut: Arc<Notify>,
}

impl Proxy {
    /// Passes everything on until `cut` is called.
    pub async fn start(server: SocketAddr, kind: Cut) -> Proxy {
        Proxy::cutting(server, kind, Direction::FromServer, u64::MAX).await
    }

    /// Cuts after so many bytes in that direction.
    pub async fn cutting(server: SocketAddr, kind: Cut, direction: Direction, after: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (passed, cut) = (Arc::new([AtomicU64::new(0), AtomicU64::new(0)]), Arc::new(Notify::new()));
        let (counters, notify) = (passed.clone(), cut.clone());
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            let limit = |this| if direction == this { after } else { u64::MAX };
            let (mut client_in, mut client_out) = client.into_split();
            let (mut server_in, mut server_out) = server.into_split();
            let down = pass(&mut server_in, &mut client_out, &counters[0], limit(Direction::FromServer));
            let up = pass(&mut client_in, &mut server_out, &counters[1], limit(Direction::ToServer));
            tokio::select! {
                () = down => {}
                () = up => {}
                () = notify.notified() => {}
            }
            if kind == Cut::Silence {
                std::future::pending::<()>().await;
            }
        });
        Proxy { port, passed, cut }
    }

    pub fn cut(&self) {
        self.cut.notify_one();
    }

    pub fn passed(&self, direction: Direction) -> u64 {
        self.passed[direction as usize].load(Ordering::SeqCst)
    }
}

async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    passed: &AtomicU64,
    limit: u64,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let room = (limit - passed.load(Ordering::SeqCst)).min(buffer.len() as u64);
        if room == 0 {
            return;
        }
        match from.read(&mut buffer[..room as usize]).await {
            Ok(count) if count > 0 => {
                passed.fetch_add(count as u64, Ordering::SeqCst);
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}
