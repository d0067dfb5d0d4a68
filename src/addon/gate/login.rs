//! A user for a moment, as `htpasswd -B` writes users: a name, and a password that is nowhere but in this program.

use bcrypt::{BcryptError, Version, hash_with_salt};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::http::basic;
use crate::addon::made_up;

/// What names of such users begin with; then the second at which they were made up.
const PREFIX: &str = "hoist-gate-";
/// Seconds after which one was left by a run that was killed.
const LONGEST: i64 = 20 * 60;
/// Rounds, as a power of two: the least that bcrypt has. The password is random, and gone in minutes.
const COST: u32 = 4;

/// A user that is made up.
pub(super) struct User {
    pub name: String,
    password: SecretString,
    hash: String,
}

impl User {
    /// # Errors
    /// In words, when the system gives no random numbers.
    pub fn new() -> Result<User, String> {
        let random = |error: getrandom::Error| format!("no random numbers: {error}");
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(random)?;
        let number = getrandom::u32().map_err(random)?;
        let name = format!("{PREFIX}{}-{number:08x}", Timestamp::now().as_second());
        let password = made_up(32).map_err(random)?;
        let hash = hash(&password, salt).map_err(|error| error.to_string())?;
        Ok(User { name, password, hash })
    }

    /// What stands after `Authorization:`.
    pub fn login(&self) -> SecretString {
        basic(&self.name, &self.password)
    }

    /// The users of a file, with this one and without those that killed runs have left.
    pub fn added(&self, users: &str) -> String {
        let line = format!("{}:{}", self.name, self.hash);
        // First, so that what stood there is the same byte for byte when it is taken away, however it ends.
        format!("{line}\n{}", self.removed(users))
    }

    /// The users of a file, without this one and those that killed runs have left. Where none of them is in it, nothing is
    /// changed.
    pub fn removed(&self, users: &str) -> String {
        let now = Timestamp::now().as_second();
        let stays = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<i64>().ok());
            name != self.name && made.is_none_or(|made| now - made < LONGEST)
        };
        users.split_inclusive('\n').filter(stays).collect()
    }
}

/// Never fails with a salt of this length and this cost.
fn hash(password: &SecretString, salt: [u8; 16]) -> Result<String, BcryptError> {
    Ok(hash_with_salt(password.expose_secret(), COST, salt)?.format_for_version(Version::TwoY))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn a_hash_is_what_others_make_of_it() {
        // libxcrypt 4.4: `perl -e 'print crypt("hunter2", "\$2y\$04\$abcdefghijklmnopqrstuu")'`.
        let salt = base64::engine::GeneralPurpose::new(
            &base64::alphabet::BCRYPT,
            base64::engine::general_purpose::NO_PAD,
        )
        .decode("abcdefghijklmnopqrstuu")
        .unwrap();
        assert_eq!(
            hash(&SecretString::from("hunter2"), salt.try_into().unwrap()).unwrap(),
            "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm"
        );
    }

    #[test]
    fn a_user_comes_and_goes_and_nobody_else_does() {
        let user = User::new().unwrap();
        let theirs = "ada:$2y$05$aaaa\n# a comment\nbob:$2y$05$bbbb";
        let with = user.added(theirs);
        let line = with.strip_suffix(theirs).unwrap().trim();
        assert!(line.starts_with(&format!("{}:$2y$04$", user.name)), "{line}");
        assert_eq!(line.split(':').nth(1).unwrap().len(), 60);
        assert!(!with.contains(user.password.expose_secret()));
        assert_eq!(user.removed(&with), theirs, "to the byte");
        assert_eq!(user.removed(theirs), theirs, "as it is");
        // Of another run: one that may be alive, and one that was killed.
        let alive = User::new().unwrap().added(theirs);
        assert_eq!(user.removed(&alive), alive);
        let killed = format!("hoist-gate-1700000000-00000000:$2y$04$x\n{theirs}");
        assert_eq!(user.removed(&killed), theirs);
    }
}
