//! Acting in a pod's network, and in its files, from the host that it runs on.
//!
//! The pod's processes are those whose control group names its uid, whatever runs containers there. nsenter(1) goes into
//! their network; bash opens connections (`/dev/tcp`), systemd-socket-activate(1) takes them.

use std::{net::Ipv4Addr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Closed,
    http::{self, Answer, Question},
    pods::{MOUNT, Pod},
};
use crate::transport::{self, Dialogue, Script, quote};

/// The port that servers in pods listen on.
pub(super) const PORT: u16 = 8080;
/// Seconds that one question may take.
pub(super) const ASKED: u64 = 5;

/// `$pid` is one of the pod's processes.
fn enter(pod: &Pod) -> String {
    let slices = pod.uid.replace('-', "_");
    format!(
        "pid=$(grep -l -e pod{} -e pod{slices} /proc/[0-9]*/cgroup 2>/dev/null | sed -n '1s,^/proc/\\([0-9]*\\)/.*,\\1,p')\n\
         [ -n \"$pid\" ] || {{ echo 'no process of the pod is found'; exit 3; }}\n",
        pod.uid
    )
}

/// A question to an address and port, from a pod.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub to: Ipv4Addr,
    pub port: u16,
    pub question: Question,
}

/// Asks all at the same time from one pod; the answers in the same order, or in words why there is none.
pub(super) async fn ask(pod: &Pod, asks: &[Ask]) -> Result<Vec<Result<Answer, String>>, Closed> {
    let mut script = enter(pod);
    script += &format!(
        "ask() {{ came=$(timeout {ASKED} nsenter -t $pid -n -- bash -c 'exec 3<>/dev/tcp/$0/$1 || exit 9; printf \"$2\" >&3; cat <&3' \
         \"$2\" \"$3\" \"$4\" 2>&1 | base64 -w0); printf '%s %s\\n' \"$1\" \"$came\"; }}\n"
    );
    for (index, ask) in asks.iter().enumerate() {
        let text = ask.question.text().replace('\r', "\\r").replace('\n', "\\n");
        script += &format!("ask {index} {} {} {} &\n", ask.to, ask.port, quote(&text));
    }
    script += "wait\n";
    let limit = Duration::from_secs(ASKED + 25 + asks.len() as u64 / 4);
    let output = pod.host.run(Script::new(script).timeout(limit)).await?;
    if output.status == 3 {
        return Err(lost(pod, &output.stdout));
    }
    let mut answers = vec![Err(format!("no answer within {ASKED} s")); asks.len()];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((index, came)) = line.split_once(' ')
            && let Some(answer) = index.parse::<usize>().ok().and_then(|index| answers.get_mut(index))
            && let Ok(came) = STANDARD.decode(came.trim())
            && !came.is_empty()
        {
            *answer = complaint(&came).map_or_else(|| http::read(&came), Err);
        }
    }
    Ok(answers)
}

/// What bash says of a connection that it does not get: `bash: connect: Connection refused`.
fn complaint(came: &[u8]) -> Option<String> {
    if came.starts_with(b"HTTP/") {
        return None;
    }
    let text = String::from_utf8_lossy(came);
    let said = text.lines().find(|line| line.contains("connect: ") || line.contains("/dev/tcp/"))?;
    Some(said.rsplit(": ").next().unwrap_or(said).trim().to_lowercase())
}

/// Sends a datagram from a pod, and what comes back.
pub(super) async fn datagram(
    pod: &Pod,
    to: Ipv4Addr,
    port: u16,
    bytes: &[u8],
) -> Result<Option<Vec<u8>>, Closed> {
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let script = format!(
        "{}timeout {ASKED} nsenter -t $pid -n -- bash -c 'exec 3<>/dev/udp/$0/$1 && printf \"$2\" >&3 && \
         dd bs=4096 count=1 status=none <&3' {to} {port} '{octal}' 2>/dev/null | base64 -w0\n",
        enter(pod)
    );
    let output = pod.host.run(Script::new(script)).await?;
    if output.status == 3 {
        return Err(lost(pod, &output.stdout));
    }
    Ok(STANDARD.decode(output.stdout.trim_ascii()).ok().filter(|bytes| !bytes.is_empty()))
}

fn lost(pod: &Pod, said: &[u8]) -> Closed {
    let said = String::from_utf8_lossy(said).trim().to_owned();
    let help = format!(
        "`crictl ps` on {} shows whether the pod's container runs, `journalctl -u kubelet` why not",
        pod.node
    );
    Closed::observed(format!("{}: {said}", pod.place()), "the processes of a pod that runs", help)
}

/// A server in a pod's network that gives everybody the same answer. It ends with this value, and with the connection
/// to the host.
pub(super) struct Server {
    _shell: Dialogue,
}

/// Starts a server on [`PORT`] in a pod. Its answer is `page`.
pub(super) async fn serve(pod: &Pod, page: &str) -> Result<Server, Closed> {
    let mut shell = pod.host.dialogue(&server(pod, page)).await?;
    let said = shell.ask("listening?", Duration::from_secs(15)).await?;
    if said == "listening" {
        return Ok(Server { _shell: shell });
    }
    Err(Closed::observed(
        format!("in {} nothing can be served: {said}", pod.place()),
        "systemd-socket-activate(1) listening there",
        "it is a part of systemd; the host needs nsenter(1) of util-linux besides",
    ))
}

fn server(pod: &Pod, page: &str) -> String {
    let answer = format!(
        "while IFS= read -r line && [ ${{#line}} -gt 1 ]; do :; done; \
         printf \"HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: {}\\r\\n\\r\\n%s\" {}",
        page.len(),
        quote(page)
    );
    format!(
        "read -r _\n\
         {}command -v systemd-socket-activate >/dev/null || {{ echo 'there is no systemd-socket-activate'; exit; }}\n\
         nsenter -t $pid -n -- systemd-socket-activate --listen=0.0.0.0:{PORT} --accept --inetd \
         /bin/sh -c {} </dev/null >/dev/null 2>&1 &\n\
         server=$!\n\
         trap 'kill $server 2>/dev/null' EXIT HUP TERM PIPE\n\
         tries=100\n\
         until grep -q ' 00000000:{PORT:04X} 00000000:0000 0A ' /proc/$pid/net/tcp; do\n\
           tries=$((tries - 1))\n\
           [ $tries -gt 0 ] && kill -0 $server 2>/dev/null || {{ echo 'the server does not listen'; exit; }}\n\
           sleep 0.1\n\
         done\n\
         echo listening\n\
         while read -r _; do :; done\n",
        enter(pod),
        quote(&answer)
    )
}

/// Writes `size` random bytes to a file in the volume that the pod mounts, down to the disk; their SHA-256.
pub(super) async fn write(pod: &Pod, size: u64) -> Result<String, Closed> {
    digest(pod, &format!("head -c {size} /dev/urandom > \"$file\" && sync \"$file\" && "), "").await
}

/// The SHA-256 of what [`write`] left in the volume.
pub(super) async fn read(pod: &Pod) -> Result<String, Closed> {
    digest(pod, "", "").await
}

/// Deletes what [`write`] left in the volume.
pub(super) async fn forget(pod: &Pod) -> Result<(), Closed> {
    digest(pod, "", " && rm -f \"$file\"").await.map(drop)
}

/// The container's process is the one that sees the volume; that of the sandbox does not.
async fn digest(pod: &Pod, before: &str, after: &str) -> Result<String, Closed> {
    let slices = pod.uid.replace('-', "_");
    let script = format!(
        "for pid in $(grep -l -e pod{} -e pod{slices} /proc/[0-9]*/cgroup 2>/dev/null | sed 's,^/proc/\\([0-9]*\\)/.*,\\1,'); do\n\
           grep -q ' {MOUNT} ' /proc/$pid/mounts 2>/dev/null || continue\n\
           file=/proc/$pid/root{MOUNT}/hoist-gate\n\
           {before}sha256sum \"$file\" | cut -d ' ' -f 1{after}\n\
           exit\n\
         done\n\
         echo 'no process of the pod sees the volume' >&2; exit 3\n",
        pod.uid
    );
    let output = pod.host.run(Script::new(script).timeout(Duration::from_secs(180))).await?;
    let digest = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status == 0 && digest.len() == 64 {
        return Ok(digest);
    }
    let said = http::clip(&String::from_utf8_lossy(&output.stderr));
    let help = "`kubectl get events -A` and the storage's own pods say more; `dmesg` on that node shows errors of its disk";
    Err(Closed::observed(
        format!("the volume in {}: {said}", pod.place()),
        "a file that can be written and read",
        help,
    ))
}

/// Asks on a host's own loopback, over the SSH connection.
pub(super) async fn loopback(
    host: &dyn transport::Host,
    port: u16,
    question: &Question,
) -> Result<Answer, String> {
    let to = (Ipv4Addr::LOCALHOST, port).into();
    let stream = host.forward(to).await.map_err(|error| error.to_string())?;
    super::outside::exchange(stream, question).await
}
