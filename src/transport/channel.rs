//! An SSH session channel as the streams of a shell.

use russh::{Channel, ChannelMsg, client::Msg};
use tokio::{select, sync::mpsc};

use super::shell::{Event, Listening, Pipes};

/// RFC 4254, 5.2: SSH_EXTENDED_DATA_STDERR.
const STDERR: u32 = 1;

/// Runs a command on a fresh channel. The command's input may be written at once; that the server refuses it is
/// seen as the end of its streams.
pub(super) async fn exec(channel: Channel<Msg>, command: &str) -> Result<Pipes, russh::Error> {
    channel.exec(true, command).await?;
    let input = Box::new(channel.make_writer());
    let (sender, events) = mpsc::channel(Pipes::BACKLOG);
    let listening = Listening::new();
    tokio::spawn(pump(channel, sender, listening.clone()));
    Ok(Pipes { input, events, listening })
}

/// Always reads, so that no channel can hold up the others of its connection; closes the channel when nobody uses
/// the shell any more.
async fn pump(mut channel: Channel<Msg>, events: mpsc::Sender<Event>, listening: Listening) {
    loop {
        let message = select! {
            message = channel.wait() => message,
            () = events.closed() => None,
        };
        let event = match message {
            Some(ChannelMsg::Data { data }) => Event::Stdout(data),
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => Event::Stderr(data),
            Some(ChannelMsg::ExitStatus { exit_status }) => Event::Exit(format!("status {exit_status}")),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                Event::Exit(format!("signal {signal_name:?}"))
            }
            Some(ChannelMsg::Failure) => Event::Exit("the server runs no commands for this user".into()),
            Some(ChannelMsg::Close) | None => break,
            Some(_) => continue,
        };
        if !listening.pass(&events, event).await {
            break;
        }
    }
    // Fails only when the connection is gone, and the channel with it.
    let _ = channel.close().await;
}
