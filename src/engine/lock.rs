//! One run at a time on a host.

use std::{sync::Arc, time::Duration};

use super::Error;
use crate::transport::{Host, Script, quote};

/// Takes the host's lock for as long as its connection lives.
///
/// The lock is flock(2) on a file in /run, held by a process that ends when our connection does: a run that
/// is killed leaves no lock behind, and a reboot clears everything. `holder` says who we are.
///
/// # Errors
/// [`Error::Locked`] with the name of whoever has it.
pub async fn lock(host: &Arc<dyn Host>, holder: &str) -> Result<(), Error> {
    let text = format!(
        "f=/run/hoist.lock\ncommand -v flock >/dev/null || {{ echo 'flock is not installed' >&2; exit 127; }}\nexec 8>>$f && flock -w 3 8 || {{ cat $f; exit 75; }}\n\
         printf '%s\\n' {} > $f\n\
         # The keeper inherits the lock and ends within a second of the root shell that asked for it.\n\
         ( exec >/dev/null 2>&1 </dev/null; while kill -0 $$; do sleep 1; done ) &\nexit 0",
        quote(holder)
    );
    let output = host.run(Script { text, stdin: None, timeout: Duration::from_secs(20) }).await?;
    match output.status {
        0 => Ok(()),
        75 => Err(Error::Locked {
            host: host.name().to_string(),
            holder: String::from_utf8_lossy(&output.stdout).trim().to_string(),
        }),
        status => Err(Error::Locked {
            host: host.name().to_string(),
            holder: format!("flock ended with {status}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }),
    }
}
