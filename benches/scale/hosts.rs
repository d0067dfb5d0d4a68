//! Many hosts in one process: an SSH server on every address, and behind each a real shell that sees a `/srv` and
//! a `/run` of its own.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use russh::{
    Channel, ChannelId,
    keys::{PrivateKey, PublicKey},
    server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey},
};
use tokio::{
    io::{AsyncWriteExt, copy},
    net::TcpListener,
    process::{Child, Command},
    runtime::Handle,
};

/// Where every host listens.
pub const PORT: u16 = 2222;

/// Serves every address of this network namespace for as long as the process lives. A host is a folder of that
/// name in `folder`, made when it is first asked for. Calls `listening` when connections can come.
pub async fn serve(
    folder: PathBuf,
    host_key: PrivateKey,
    user: PublicKey,
    listening: impl FnOnce(),
) -> io::Result<()> {
    let config = Arc::new(server::Config {
        keys: vec![host_key],
        auth_rejection_time_initial: Some(Duration::ZERO),
        nodelay: true,
        ..server::Config::default()
    });
    let socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    listening();
    loop {
        let (stream, _) = socket.accept().await?;
        let folder = match stream.local_addr()?.ip() {
            IpAddr::V4(address) => folder.join(address.to_string()),
            IpAddr::V6(_) => continue,
        };
        let (config, host) = (config.clone(), SshHost { folder, user: user.clone(), channel: None });
        tokio::spawn(async move {
            let ended = match server::run_stream(config, stream, host).await {
                Ok(session) => session.await,
                Err(error) => Err(error),
            };
            // Somebody who looks whether the port is open sends nothing and leaves.
            if let Err(error) = ended
                && !matches!(error, russh::Error::Disconnect | russh::Error::IO(_) | russh::Error::HUP)
            {
                eprintln!("a session ended: {error}");
            }
        });
    }
}

/// One connection to one host.
struct SshHost {
    folder: PathBuf,
    user: PublicKey,
    channel: Option<Channel<Msg>>,
}

impl server::Handler for SshHost {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        shown: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let ours = shown.public_key.key_data() == self.user.key_data();
        Ok(if ours { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(channel) = self.channel.take() else { return session.channel_failure(id) };
        let command = String::from_utf8_lossy(command).into_owned();
        let child = spawn(command, &self.folder)?;
        session.channel_success(id)?;
        tokio::spawn(converse(channel, child));
        Ok(())
    }
}

/// Connects a channel with a process until the process ends.
async fn converse(channel: Channel<Msg>, mut child: Child) -> Result<(), russh::Error> {
    let (mut from_client, to_client) = channel.split();
    let (Some(mut input), Some(mut output), Some(mut errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Ok(());
    };
    // A client that goes away closes the shell's input, which ends the shell.
    let feeding = tokio::spawn(async move {
        let _ = copy(&mut from_client.make_reader(), &mut input).await;
        input.shutdown().await
    });
    let (mut out, mut err) = (to_client.make_writer(), to_client.make_writer_ext(Some(1)));
    let _ = tokio::join!(copy(&mut output, &mut out), copy(&mut errors, &mut err));
    let status = child.wait().await?;
    feeding.abort();
    to_client.exit_status(status.code().unwrap_or(255) as u32).await?;
    to_client.close().await
}

/// Starts a command in a mount namespace of the host's own. A thread enters it, for it belongs to a thread, and ends.
fn spawn(command: String, folder: &Path) -> io::Result<Child> {
    let srv = folder.join("srv");
    fs::create_dir_all(&srv)?;
    let runtime = Handle::current();
    let child = std::thread::spawn(move || {
        let _runtime = runtime.enter();
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&str> = None;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)?;
        mount(Some(&srv), "/srv", none, MsFlags::MS_BIND, none)?;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command).kill_on_drop(true);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    });
    child.join().map_err(|_| io::Error::other("the thread that starts shells died"))?
}
