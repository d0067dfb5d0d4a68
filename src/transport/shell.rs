//! A shell at the other end of three byte streams, asked to run one framed script after another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    pin, select,
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    Output, Script,
    frame::{Demux, Input, Nonce, encode},
};

/// A link that is slower than this, in bytes a second, counts as broken.
const SLOWEST_LINK: u64 = 16 << 10;

/// How long so many bytes may be on their way to a host that lives.
pub(crate) fn on_the_way(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_LINK)
}

/// Most bytes that are kept of each stream of a script.
pub(crate) const LIMIT: usize = 64 << 20;

/// How long output may still come when the shell has ended: what it started may keep its streams open for ever.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What the shell is told first: the same tools and messages wherever it runs, no traces of what it reads. Proxies of
/// the host's environment are set aside: kubeadm would write them into static pods, and ask the API server by them.
const PRELUDE: &str = "set +vx; PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; LC_ALL=C; \
                       export PATH LC_ALL; unset ENV BASH_ENV LANGUAGE; umask 022; cd /
HOIST_PROXIES=
for name in http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY; do
eval \"value=\\${$name-}\"
[ -z \"$value\" ] || HOIST_PROXIES=\"$HOIST_PROXIES$name=$value
\"
unset \"$name\"
done
unset name value\n";

/// Begins a script that fetches something: it has the proxies of the host's environment again.
pub const WITH_PROXIES: &str =
    "while IFS= read -r proxy; do [ -z \"$proxy\" ] || export \"$proxy\"; done <<END
$HOIST_PROXIES
END\n";

/// Says who the shell runs as, that it can hide secrets (a `printf` that is no builtin would show its arguments),
/// which session it is in and when the leader of that session was started (fields 6 and 22 of proc_pid_stat(5)).
const INTRODUCE: &str = "id -u || exit; type printf || exit
read -r stat </proc/$$/stat || exit; set -- ${stat##*) }; echo \"$4\"
read -r stat </proc/$4/stat && { set -- ${stat##*) }; echo \"${20}\"; }";

/// Something a shell printed.
pub(crate) enum Event {
    Stdout(Bytes),
    Stderr(Bytes),
    /// How it ended: a status or a signal, in words.
    Exit(String),
}

/// The raw ends of a shell's streams.
pub(crate) struct Pipes {
    pub(crate) input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Ends when both output streams have ended.
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) listening: Listening,
}

/// Whether anybody waits for what the shell prints; when not, it is dropped, so that nothing piles up.
#[derive(Clone)]
pub(crate) struct Listening(Arc<AtomicBool>);

impl Listening {
    pub(crate) fn new() -> Listening {
        Listening(Arc::new(AtomicBool::new(true)))
    }

    fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Hands an event over, or drops it. Returns false when the shell is not used any more.
    pub(crate) async fn pass(&self, events: &mpsc::Sender<Event>, event: Event) -> bool {
        let wanted = self.0.load(Ordering::Relaxed) || matches!(event, Event::Exit(_));
        if wanted { events.send(event).await.is_ok() } else { !events.is_closed() }
    }
}

impl Pipes {
    /// How many events may wait.
    pub(crate) const BACKLOG: usize = 64;

    /// Over any three streams; `end` is how it ended, when it has.
    pub(crate) fn over(
        input: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        stderr: impl AsyncRead + Send + Unpin + 'static,
        end: impl Future<Output = String> + Send + 'static,
    ) -> Pipes {
        let (sender, events) = mpsc::channel(Pipes::BACKLOG);
        let listening = Listening::new();
        tokio::spawn(pump(stdout, Event::Stdout, sender.clone(), listening.clone()));
        tokio::spawn(pump(stderr, Event::Stderr, sender.clone(), listening.clone()));
        tokio::spawn(async move {
            // Keeps no sender while it waits: the events end when the streams do.
            let weak = sender.downgrade();
            drop(sender);
            let reason = end.await;
            if let Some(sender) = weak.upgrade() {
                // Nobody waits any more when the receiver is gone.
                let _ = sender.send(Event::Exit(reason)).await;
            }
        });
        Pipes { input: Box::new(input), events, listening }
    }
}

async fn pump(
    mut stream: impl AsyncRead + Unpin,
    event: fn(Bytes) -> Event,
    events: mpsc::Sender<Event>,
    listening: Listening,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = select! {
            read = stream.read(&mut buffer) => read.unwrap_or(0),
            () = events.closed() => 0,
        };
        if count == 0 || !listening.pass(&events, event(Bytes::copy_from_slice(&buffer[..count]))).await {
            return;
        }
    }
}

/// Why a script has no output.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The streams ended before the script did.
    Ended { reason: String, tail: String },
    /// It took too long.
    Timeout { tail: String },
    /// It printed too much.
    TooMuch { stream: &'static str, tail: String },
    /// A text contains a byte that cannot be written to a shell.
    Nul { what: &'static str },
    /// The machine has no randomness.
    Nonce(getrandom::Error),
}

/// A session on a host. The number alone may come to name another one later.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: u32,
    /// When its leader was started, in clock ticks since boot; empty when that could not be read.
    pub(crate) started: String,
}

/// A shell that is ready for scripts.
pub(crate) struct Shell {
    pipes: Pipes,
    /// False from the start of an exchange until its end: a shell that was given up in between is of no use.
    idle: bool,
    /// The numeric user it runs as.
    pub(crate) uid: u32,
    /// The session it is in on the host, when /proc tells: all that its scripts start is in it too.
    pub(crate) session: Option<Session>,
    /// Most bytes that are kept of each stream of a script.
    limit: usize,
}

impl Shell {
    /// Greets a shell that has just been started and learns what it is.
    pub(crate) async fn start(pipes: Pipes, limit: usize, patience: Duration) -> Result<Shell, Failure> {
        let mut shell = Shell { pipes, idle: true, uid: u32::MAX, session: None, limit };
        let mut exchange = shell.begin(INTRODUCE, Input::Nothing)?;
        exchange.prefix(PRELUDE);
        let output = exchange.finish(patience).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let unusable = || Failure::Ended {
            reason: "it is not a POSIX shell".into(),
            tail: format!("{}{}", text, String::from_utf8_lossy(&output.stderr)),
        };
        shell.uid = lines.next().and_then(|line| line.parse().ok()).ok_or_else(unusable)?;
        if !lines.next().is_some_and(|line| line.contains("builtin")) {
            let reason = "its printf is not a builtin: secrets would show in argument lists".into();
            return Err(Failure::Ended { reason, tail: text.into_owned() });
        }
        let id = lines.next().and_then(|line| line.parse().ok()).filter(|id| *id > 1);
        let started = lines.next().unwrap_or_default().to_owned();
        shell.session = id.map(|id| Session { id, started });
        Ok(shell)
    }

    /// Whether another script can be given to it.
    pub(crate) fn usable(&mut self) -> bool {
        while let Ok(event) = self.pipes.events.try_recv() {
            if matches!(event, Event::Exit(_)) {
                self.idle = false;
            }
        }
        self.idle && !self.pipes.events.is_closed()
    }

    /// The streams of a shell that is to be used in another way from here on.
    pub(crate) fn into_pipes(self) -> Pipes {
        self.pipes.listening.set(true);
        self.pipes
    }

    /// Runs a script to its end.
    pub(crate) async fn run(&mut self, script: &Script) -> Result<Output, Failure> {
        let exchange = match &script.stdin {
            Some(text) => self.begin(&script.text, Input::Text(text.expose_secret()))?,
            None => self.begin(&script.text, Input::Nothing)?,
        };
        exchange.finish(script.timeout).await
    }

    /// Prepares to run a script; nothing is written before the exchange is driven.
    pub(crate) fn begin(&mut self, script: &str, input: Input<'_>) -> Result<Exchange<'_>, Failure> {
        if script.contains('\0') {
            return Err(Failure::Nul { what: "script" });
        }
        if matches!(input, Input::Text(text) if text.contains('\0')) {
            return Err(Failure::Nul { what: "standard input of a script" });
        }
        let nonce = Nonce::new().map_err(Failure::Nonce)?;
        let raw = matches!(input, Input::Raw);
        let frame = encode(&nonce, script, input);
        self.pipes.listening.set(true);
        let (out, err) = (Demux::new(&nonce, self.limit), Demux::new(&nonce, self.limit));
        self.idle = false;
        Ok(Exchange { shell: self, frame, raw, out, err, exit: None })
    }
}

/// One script on its way through a shell. Dropping it before its end makes the shell unusable.
pub(crate) struct Exchange<'a> {
    shell: &'a mut Shell,
    /// What is still to be written before anything else.
    frame: Vec<u8>,
    /// Whether the shell ends with the script if that fails.
    raw: bool,
    out: Demux,
    err: Demux,
    exit: Option<String>,
}

/// How far to drive an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Until everything is written.
    Written,
    /// Until the output has so many complete lines.
    Lines(usize),
    /// Until the script has ended.
    End,
}

impl Exchange<'_> {
    fn prefix(&mut self, text: &str) {
        self.frame.splice(0..0, text.bytes());
    }

    /// Whether the script has ended.
    pub(crate) fn ended(&self) -> bool {
        self.out.status().is_some() && self.err.status().is_some()
    }

    /// Line number `index` of the output, from 0; `None` when the script ended without printing it.
    pub(crate) async fn line(&mut self, index: usize) -> Result<Option<String>, Failure> {
        let frame = std::mem::take(&mut self.frame);
        self.drive(&frame, Goal::Lines(index + 1)).await?;
        let line = self.out.output().split(|byte| *byte == b'\n').nth(index);
        Ok(line.filter(|line| !line.is_empty()).map(|line| String::from_utf8_lossy(line).into_owned()))
    }

    /// Writes to the input of a script that reads it raw. Returns early when the script ends.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.drive(bytes, Goal::Written).await
    }

    /// Waits for the end of the script. What it takes to bring it there is not held against it.
    pub(crate) async fn finish(mut self, patience: Duration) -> Result<Output, Failure> {
        let frame = std::mem::take(&mut self.frame);
        let patience = patience + on_the_way(frame.len() as u64);
        match timeout(patience, self.drive(&frame, Goal::End)).await {
            Ok(driven) => driven?,
            Err(_) => return Err(Failure::Timeout { tail: self.tail() }),
        }
        self.shell.pipes.listening.set(false);
        let status = self.out.status().unwrap_or(255);
        self.shell.idle = !self.raw || status == 0;
        for (stream, demux) in [("standard output", &self.out), ("standard error", &self.err)] {
            if demux.overflow() {
                return Err(Failure::TooMuch { stream, tail: demux.tail() });
            }
        }
        Ok(Output { status, stdout: self.out.take(), stderr: self.err.take() })
    }

    /// The last lines of what was printed so far, for errors.
    pub(crate) fn tail(&self) -> String {
        let (out, err) = (self.out.tail(), self.err.tail());
        if out.is_empty() || err.is_empty() { out + &err } else { format!("{out}\n{err}") }
    }

    async fn drive(&mut self, bytes: &[u8], goal: Goal) -> Result<(), Failure> {
        let Exchange { shell, out, err, exit, .. } = self;
        let Pipes { input, events, .. } = &mut shell.pipes;
        let write = async {
            input.write_all(bytes).await?;
            input.flush().await
        };
        pin!(write);
        let mut written = bytes.is_empty();
        loop {
            let ended = out.status().is_some() && err.status().is_some();
            let reached = match goal {
                Goal::Written => written,
                Goal::Lines(count) => memchr::memchr_iter(b'\n', out.output()).count() >= count,
                Goal::End => false,
            };
            if ended || reached {
                return Ok(());
            }
            select! {
                // A failed write is followed by the end of the events, which says more.
                _ = &mut write, if !written => written = true,
                event = events.recv() => match event {
                    Some(Event::Stdout(data)) => out.push(&data),
                    Some(Event::Stderr(data)) => err.push(&data),
                    Some(Event::Exit(reason)) => *exit = Some(reason),
                    None => break,
                },
                () = sleep(LAST_WORDS), if exit.is_some() => break,
            }
        }
        let reason = exit.take().unwrap_or_else(|| "its streams were closed".into());
        Err(Failure::Ended { reason, tail: self.tail() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(1 << 20);
        let (input_end, echo) = tokio::io::duplex(1 << 20);
        let (echo_out, echo_in) = tokio::io::split(echo);
        tokio::spawn(async move {
            let (mut from, mut to) = (echo_out, echo_in);
            // Like `cat`: what is written comes back, so that the markers are seen, but not as markers.
            tokio::io::copy(&mut from, &mut to).await
        });
        let (stdout, input) = tokio::io::split(input_end);
        let pipes = Pipes::over(input, stdout, ours, std::future::pending());
        let failure = Shell::start(pipes, LIMIT, Duration::from_millis(50)).await.err();
        assert!(matches!(failure, Some(Failure::Timeout { tail }) if tail.contains("printf")));
    }
}
