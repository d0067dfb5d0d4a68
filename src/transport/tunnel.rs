//! Byte streams that are not TCP connections of this machine.

use std::{
    any::Any,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use russh::{Channel, ChannelMsg, client::Msg};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    select,
    sync::mpsc,
};

use super::link::Link;

/// Two streams that belong together, and what must live as long as they do.
pub(super) struct Tunnel {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    _keeper: Box<dyn Any + Send>,
}

impl Tunnel {
    pub(super) fn over(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        keeper: impl Any + Send,
    ) -> Tunnel {
        Tunnel { reader: Box::new(reader), writer: Box::new(writer), _keeper: Box::new(keeper) }
    }

    /// A channel of a jump host's connection.
    pub(super) fn new(channel: Channel<Msg>, link: Arc<Link>) -> Tunnel {
        let writer = channel.make_writer();
        let (sender, incoming) = mpsc::unbounded_channel();
        tokio::spawn(drain(channel, sender));
        Tunnel::over(Incoming { incoming, rest: Bytes::new(), link: link.clone() }, writer, link)
    }
}

/// Always reads, for a channel that is not read holds up all others of its connection: among them the news that the
/// server has room again for what the channel's user is busy writing. What piles up meanwhile is bounded by the windows
/// of the SSH connection inside.
async fn drain(mut channel: Channel<Msg>, sender: mpsc::UnboundedSender<Bytes>) {
    loop {
        let message = select! {
            message = channel.wait() => message,
            () = sender.closed() => None,
        };
        match message {
            // What cannot be handed over nobody wants: then `closed` ends this.
            Some(ChannelMsg::Data { data }) => _ = sender.send(data),
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => break,
            Some(_) => {}
        }
    }
    // Fails only when the connection is gone, and the channel with it.
    let _ = channel.close().await;
}

/// What has arrived through a channel.
struct Incoming {
    incoming: mpsc::UnboundedReceiver<Bytes>,
    rest: Bytes,
    link: Arc<Link>,
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.incoming.poll_recv(context)) {
                Some(data) => self.rest = data,
                None => {
                    let lost = self.link.gone().map(|error| Err(io::Error::other(error.to_string())));
                    return Poll::Ready(lost.unwrap_or(Ok(())));
                }
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    /// Never fails: the end of a stream whose other end is gone already would hide why it is gone.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(Pin::new(&mut self.writer).poll_shutdown(context));
        Poll::Ready(Ok(()))
    }
}
