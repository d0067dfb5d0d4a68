//! The machine that runs this program as a host: the same protocol on a shell of its own.

use std::{path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    Destination, Dialogue, Error, Host, Output, Peer, Script, Stream, Transfer,
    root::{Opener, RootShell},
    send,
    shell::{Failure, LIMIT, Pipes, Shell},
};

/// How long a local shell may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A host that is this machine. Its scripts run as the user of this process.
pub struct Local {
    root: RootShell<Spawner>,
}

impl Local {
    /// Starts `/bin/sh`.
    pub async fn open(name: impl Into<String>) -> Result<Local, Error> {
        Local::with_shell(name, &["/bin/sh"]).await
    }

    /// Starts another shell: a program and its arguments.
    pub async fn with_shell(name: impl Into<String>, shell: &[&str]) -> Result<Local, Error> {
        let shell = shell.iter().map(PathBuf::from).collect();
        let root = RootShell::open(Spawner { name: name.into(), shell, limit: LIMIT }).await?;
        Ok(Local { root })
    }
}

#[async_trait]
impl Host for Local {
    fn name(&self) -> &str {
        self.root.opener().host()
    }

    fn exchanges(&self) -> usize {
        self.root.turns()
    }

    async fn run(&self, script: Script) -> Result<Output, Error> {
        self.root.run(&script).await
    }

    async fn relock(&self, script: String) {
        self.root.relock(script).await;
    }

    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        send::send(&self.root, transfer, progress).await
    }

    async fn fetch(&self, transfer: &Transfer, peer: &Peer) -> Result<(), Error> {
        send::fetch(&self.root, transfer, peer).await
    }

    async fn dialogue(&self, script: &str) -> Result<Dialogue, Error> {
        Dialogue::open(self.root.opener(), script).await
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        match TcpStream::connect(to).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(Error::Forward {
                host: self.name().to_owned(),
                to: to.to_string(),
                reason: error.to_string(),
            }),
        }
    }
}

struct Spawner {
    name: String,
    shell: Vec<PathBuf>,
    limit: usize,
}

#[async_trait]
impl Opener for Spawner {
    fn host(&self) -> &str {
        &self.name
    }

    async fn open(&self) -> Result<Shell, Error> {
        let failed =
            |reason: String, output: String| Error::Start { host: self.name.clone(), reason, output };
        // A session of its own, as under sshd: what a script leaves running can be told from everything else.
        let mut child = Command::new("setsid")
            .args(&self.shell)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("setsid: {error}"), String::new()))?;
        let (Some(input), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it has no streams".into(), String::new()));
        };
        let pipes = Pipes::over(input, stdout, stderr, end(child));
        Shell::start(pipes, self.limit, PATIENCE).await.map_err(|failure| match failure {
            Failure::Ended { reason, tail } => failed(reason, tail),
            Failure::Timeout { tail } => failed("it does not answer".into(), tail),
            other => failed(format!("{other:?}"), String::new()),
        })
    }

    fn lost(&self) -> Option<String> {
        None
    }
}

/// Waits for a shell, which ends at the latest when its input does.
async fn end(mut child: Child) -> String {
    match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
