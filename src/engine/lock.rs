//! One run at a time on a host.

use nix::unistd::{User, geteuid, gethostname};

use super::{Error, event::moment};
use crate::transport::{Output, quote};

/// Takes the lock for `$holder`.
const SCRIPT: &str = include_str!("lock.sh");

/// The status of [`Lock::script`] when somebody else has the lock, and when there can be none.
const TAKEN: i32 = 75;
const IMPOSSIBLE: i32 = 74;

/// The lock of a host, held for as long as our connection to it lives.
///
/// It is flock(2) on a file in /run, held there by a process that ends when our connection does, or when somebody asks
/// for the lock and our root shell has ended: a run that is killed leaves neither a lock behind nor anything at work, and
/// a reboot clears everything. A shell of this run that replaces another takes it [again](Lock::again).
#[derive(Debug, Clone)]
pub struct Lock {
    holder: String,
}

impl Lock {
    /// A lock that tells others who holds it: user, machine, since when, and the command.
    pub fn new(command: &str) -> Lock {
        let user = std::env::var("USER").ok().or_else(|| Some(User::from_uid(geteuid()).ok()??.name));
        let machine = gethostname().ok().and_then(|name| name.into_string().ok());
        Lock {
            holder: format!(
                "{}@{} since {}: {command} (process {})",
                user.unwrap_or_else(|| "somebody".into()),
                machine.unwrap_or_else(|| "somewhere".into()),
                moment(jiff::Timestamp::now()),
                std::process::id()
            ),
        }
    }

    /// What others are told of who holds it.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// POSIX sh that takes the lock and goes on, or ends. It stands before a script that is run anyway, so that
    /// locking costs no round trip.
    pub fn script(&self) -> String {
        format!("holder={} again=\n{SCRIPT}", quote(&self.holder))
    }

    /// The same for a shell that replaces the one with the lock ([`Host::relock`](crate::transport::Host::relock)): it is
    /// refused, too, when somebody else had the lock in between.
    pub fn again(&self) -> String {
        format!("holder={} again=yes\n{SCRIPT}", quote(&self.holder))
    }

    /// Whether the lock was had, from what a script with [`Lock::script`] before it left on `host`.
    ///
    /// # Errors
    /// [`Error::Locked`] with the name of whoever has it, and [`Error::Unlockable`].
    pub fn taken(host: &str, output: &Output) -> Result<(), Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        let host = host.to_string();
        match output.status {
            TAKEN => Err(Error::Locked { host, holder: text(&output.stdout) }),
            IMPOSSIBLE => Err(Error::Unlockable { host, reason: text(&output.stderr) }),
            _ => Ok(()),
        }
    }
}
