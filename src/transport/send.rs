//! Files on their way to a host, through its root shell.

use std::{
    io::{self, SeekFrom},
    path::Path,
    time::Duration,
};

use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    time::timeout,
};

use super::{
    Error, Output, Peer, Script, Transfer,
    frame::{Input, quote},
    root::{Opener, RootShell, Slot},
    shell::{Exchange, Failure, on_the_way},
};

/// Bytes read and written at a time.
const CHUNK: usize = 256 << 10;

/// How long a host may take neither to read nor to answer.
const STALL: Duration = Duration::from_secs(60);

/// The most that is between this program and a shell when no write waits any more, in bytes: the window of an SSH
/// channel and the buffers of a TCP connection.
const MOST_UNDERWAY: u64 = 8 << 20;

/// Slower than this, in bytes a second, no host computes a digest.
const SLOWEST_DIGEST: u64 = 10 << 20;

/// Slower than this, in bytes a second, no neighbour may be.
const SLOWEST_PEER: u64 = 128 << 10;

/// What the host does, given `dest`, `want`, `size` and `mode`, and to fetch the file itself from a neighbour, its
/// address `peer` and `port`, and `own`, the address to come from; `beside` and `times` say where else there must be
/// room. It answers with lines: first what it has (`have`, `send OFFSET` or `nospace NEEDED AVAILABLE PATH`), then how it
/// went (`done`, `digest FOUND`, `peer WHY` …).
///
/// The file grows next to its destination, never in /tmp, under a name made of its digest: so it is renamed within
/// one file system, gets the security label of its folder, and can be continued by a later run. Its time is that at which
/// it is put in place, also where an earlier run brought all of it: what is to restart after it looks at that.
const RECEIVE: &str = r#"
fail() { printf 'fail %s\n' "$*"; exit 1; }
digest() { sum=$(sha256sum <"$1") || fail "cannot read $1"; sum=${sum%% *}; }
finish() { chown 0:0 "$1" && chmod "$mode" "$1"; }
dir=${dest%/*}; part=$dir/.hoist-$want
[ ! -d "$dest" ] || fail 'it is a folder'
mkdir -p "${dir:-/}" 2>&1 || exit 1
if [ -f "$dest" ] && [ ! -L "$dest" ] && [ $(wc -c <"$dest") -eq "$size" ]; then
    digest "$dest"
    if [ "$sum" = "$want" ]; then rm -f "$part"; finish "$dest" 2>&1 || exit 1; echo have; exit 0; fi
fi
have=0
if [ -L "$part" ] || { [ -e "$part" ] && [ ! -f "$part" ]; }; then rm -rf "$part"; fi
if [ -f "$part" ]; then
    have=$(($(wc -c <"$part")))
    if [ "$have" -gt "$size" ]; then rm -f "$part"; have=0; fi
fi
# A neighbour sends everything. What was there counts as free.
need=$((size - have))
room() { # KiB that are free in folder $1, and its file system; nothing when that is not known
    above=$1
    while [ -n "$above" ] && [ ! -d "$above" ]; do above=${above%/*}; done
    set -- $(df -Pk "${above:-/}" 2>/dev/null | tail -n 1)
    free=${4:-} system=${6:-}
    case $free in *[!0-9]*) free= ;; esac
}
fits() { # $1 bytes for $2
    if [ -n "$free" ] && [ "$free" -lt $((($1 + 1023) / 1024)) ]; then
        echo "nospace $1 $((free * 1024)) $2"; exit 0
    fi
}
room "$dir"
fits "$need" "$dest"
if [ -n "$beside" ]; then
    here=$system more=$((size * times))
    room "$beside"
    [ "$system" != "$here" ] || more=$((more + need))
    fits "$more" "$beside"
fi
umask 077
[ -z "$peer" ] || { rm -f "$part"; have=0 need=$size; }
: >>"$part" || fail "cannot write in ${dir:-/}"
bring() {
    [ -n "$peer" ] || { head -c "$need"; return; }
    command -v socat >/dev/null || { echo 'there is no socat' >&2; return; }
    socat -u -T 20 "TCP4:$peer:$port,bind=$own,connect-timeout=5" STDOUT | head -c "$need"
}
echo "send $have"
if [ "$need" -gt 0 ]; then
    said=$(bring 2>&1 >>"$part")
    status=$?
    got=$(($(wc -c <"$part")))
    if [ "$status" -ne 0 ]; then
        rm -f "$part"; room "$dir"
        case $said in *'o space'*) echo "nospace $size $((${free:-0} * 1024)) $dest"; exit 1 ;; esac
        fail "$said"
    fi
    if [ "$got" -ne "$size" ]; then
        [ -n "$peer" ] || exit 1
        echo "peer $got of $size bytes came: "$said; exit 1
    fi
fi
echo received
digest "$part"
if [ "$sum" != "$want" ]; then rm -f "$part"; echo "digest $sum"; exit 0; fi
touch "$part" 2>&1 && finish "$part" 2>&1 && mv -f "$part" "$dest" 2>&1 || { rm -f "$part"; exit 1; }
echo done
"#;

/// Sends a file. See [`Host::send`](super::Host::send).
pub(super) async fn send<O: Opener>(
    root: &RootShell<O>,
    transfer: &Transfer,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), Error> {
    let mut slot = root.lock().await;
    match attempt(root, &mut slot, transfer, None, progress).await? {
        Sent::Done => Ok(()),
        // What an interrupted run left there may have been damaged: once more from the start.
        Sent::Damaged { resumed: true, .. } => {
            match attempt(root, &mut slot, transfer, None, progress).await? {
                Sent::Done => Ok(()),
                Sent::Damaged { found, .. } => Err(damaged(root, transfer, found)),
            }
        }
        Sent::Damaged { found, .. } => Err(damaged(root, transfer, found)),
    }
}

/// Has the host fetch a file. See [`Host::fetch`](super::Host::fetch).
pub(super) async fn fetch<O: Opener>(
    root: &RootShell<O>,
    transfer: &Transfer,
    peer: &Peer,
) -> Result<(), Error> {
    let mut slot = root.lock().await;
    let failed = |reason| Error::peer(root.opener().host(), &transfer.destination, &peer.name, reason);
    match attempt(root, &mut slot, transfer, Some(peer), &|_| {}).await {
        Ok(Sent::Done) => Ok(()),
        Ok(Sent::Damaged { found, .. }) => Err(failed(format!("what came has the digest {found}"))),
        // The host answers; what it waited for was the neighbour.
        Err(Error::Stalled { .. }) => Err(failed("it takes too long".to_owned())),
        Err(error) => Err(error),
    }
}

fn damaged<O: Opener>(root: &RootShell<O>, transfer: &Transfer, found: String) -> Error {
    Error::Digest {
        host: root.opener().host().to_owned(),
        path: transfer.destination.clone(),
        expected: transfer.sha256.clone(),
        found,
    }
}

enum Sent {
    Done,
    Damaged { found: String, resumed: bool },
}

async fn attempt<O: Opener>(
    root: &RootShell<O>,
    slot: &mut Slot,
    transfer: &Transfer,
    peer: Option<&Peer>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Sent, Error> {
    let host = root.opener().host();
    let write_error =
        |reason: String| Error::Write { host: host.to_owned(), path: transfer.destination.clone(), reason };
    if !transfer.destination.starts_with('/') || transfer.destination.ends_with('/') {
        return Err(write_error("not the absolute path of a file".into()));
    }
    let mut source = Source::open(&transfer.source).await?;
    let size = source.size;
    let from = peer.map_or("peer=".to_owned(), |peer| {
        format!("peer={} port={} own={}", peer.address.ip(), peer.address.port(), peer.own)
    });
    let beside = transfer
        .beside
        .as_ref()
        .map_or("beside=".to_owned(), |(folder, times)| format!("beside={} times={times}", quote(folder)));
    let script = format!(
        "dest={} want={} size={size} mode={:o} {from} {beside}{RECEIVE}",
        quote(&transfer.destination),
        quote(&transfer.sha256),
        transfer.mode & 0o7777,
    );
    let verify = STALL + Duration::from_secs(size / SLOWEST_DIGEST);

    let shell = slot.ready(root.opener()).await?;
    let outcome = match peer {
        None => match shell.begin(&script, Input::Raw) {
            Ok(exchange) => stream(exchange, &mut source, verify, progress).await,
            Err(failure) => Err(Trouble::Shell(failure)),
        },
        Some(_) => {
            let script = Script::new(script).timeout(verify + Duration::from_secs(size / SLOWEST_PEER));
            shell.run(&script).await.map(|output| (0, answer(output))).map_err(Trouble::Shell)
        }
    };
    let (offset, lines) = match outcome {
        Ok(answer) => answer,
        Err(Trouble::Source(error)) => return Err(error),
        Err(Trouble::Shell(failure)) => {
            return Err(match root.give_up(slot, failure, verify).await {
                Error::Timeout { host, .. } => {
                    Error::Stalled { host, path: transfer.destination.clone(), seconds: STALL.as_secs() }
                }
                error => error,
            });
        }
    };
    let last = lines.lines().last().unwrap_or_default();
    let mut words = last.splitn(4, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("have" | "done"), ..) => {
            progress(size);
            Ok(Sent::Done)
        }
        (Some("digest"), Some(found), _) => Ok(Sent::Damaged { found: found.into(), resumed: offset > 0 }),
        (Some("nospace"), Some(needed), Some(available)) => Err(Error::NoSpace {
            host: host.to_owned(),
            path: words.next().unwrap_or(&transfer.destination).to_owned(),
            needed: needed.parse().unwrap_or(size),
            available: available.parse().unwrap_or(0),
        }),
        (Some("peer"), ..) => {
            let reason = last.trim_start_matches("peer ").trim_end_matches([':', ' ']).to_owned();
            let name = peer.map_or("a neighbour", |peer| &peer.name);
            Err(Error::peer(host, &transfer.destination, name, reason))
        }
        _ => Err(write_error(last.strip_prefix("fail ").unwrap_or(lines.trim()).to_owned())),
    }
}

enum Trouble {
    Shell(Failure),
    Source(Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Shell(failure)
    }
}

/// The local file.
struct Source<'a> {
    path: &'a Path,
    file: File,
    size: u64,
}

impl Source<'_> {
    async fn open(path: &Path) -> Result<Source<'_>, Error> {
        let failed = |source| Error::Source { path: path.to_owned(), source };
        let file = File::open(path).await.map_err(failed)?;
        let size = file.metadata().await.map_err(failed)?.len();
        Ok(Source { path, file, size })
    }

    fn error(&self, source: io::Error) -> Trouble {
        Trouble::Source(Error::Source { path: self.path.to_owned(), source })
    }
}

/// Drives the script, with the file from the offset that the host asks for. Returns that and all answers.
async fn stream(
    mut exchange: Exchange<'_>,
    source: &mut Source<'_>,
    verify: Duration,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(u64, String), Trouble> {
    let stalled = |exchange: &Exchange<'_>| Trouble::Shell(Failure::Timeout { tail: exchange.tail() });
    // The host may have to compute the digest of what it has already.
    let Ok(verdict) = timeout(verify, exchange.line(0)).await else { return Err(stalled(&exchange)) };
    let verdict = verdict?.unwrap_or_default();
    let offset = verdict.strip_prefix("send ").and_then(|offset| offset.parse().ok());
    if let Some(offset) = offset {
        source.file.seek(SeekFrom::Start(offset)).await.map_err(|error| source.error(error))?;
        progress(offset);
        let mut sent: u64 = offset;
        let mut chunk = vec![0; CHUNK];
        while sent < source.size && !exchange.ended() {
            // Never a byte more than was announced, however the file grows: the shell would read it as a command.
            let room = usize::try_from(source.size - sent).unwrap_or(CHUNK).min(CHUNK);
            let count = source.file.read(&mut chunk[..room]).await.map_err(|error| source.error(error))?;
            if count == 0 {
                return Err(source.error(io::ErrorKind::UnexpectedEof.into()));
            }
            let Ok(written) = timeout(STALL, exchange.write(&chunk[..count])).await else {
                return Err(stalled(&exchange));
            };
            written?;
            sent += count as u64;
            progress(sent);
        }
        // Written is not arrived: a slow link still has much of it.
        let arrival = STALL + on_the_way((sent - offset).min(MOST_UNDERWAY));
        let Ok(received) = timeout(arrival, exchange.line(1)).await else { return Err(stalled(&exchange)) };
        received?;
    }
    Ok((offset.unwrap_or(0), answer(exchange.finish(verify).await?)))
}

/// Messages of tools stand before the last answer, so that the last line stays the one that counts.
fn answer(output: Output) -> String {
    let mut answer = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status != 0 {
        answer.insert_str(0, &String::from_utf8_lossy(&output.stderr));
    }
    answer
}
