//! A file of users as `htpasswd -B` writes it, looked at before the registry reads it.

/// Names the first line that the registry cannot use, and shows nothing of it.
///
/// Distribution (`registry/auth/htpasswd`) knows bcrypt alone: a user with another hash is there and can never log in, and a
/// line without a colon keeps it from letting anybody in.
pub(super) fn check(text: &str) -> Result<(), String> {
    let lines = text.lines().map(str::trim).enumerate();
    let mut said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let is_user =
        |line: &str| line.split_once(':').is_some_and(|(user, hash)| !user.is_empty() && is_bcrypt(hash));
    match said.find(|(_, line)| !is_user(line)) {
        None => Ok(()),
        Some((index, _)) => Err(format!(
            "line {} is no `USER:HASH` with a hash of bcrypt, and the registry takes no other: write it with \
             `htpasswd -B`",
            index + 1
        )),
    }
}

/// `$2y$05$`, with any version and cost, then salt and hash in 53 characters.
fn is_bcrypt(hash: &str) -> bool {
    let parts: Vec<&str> = hash.split('$').collect();
    let [before, version, cost, rest] = parts[..] else { return false };
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    before.is_empty()
        && ["2", "2a", "2b", "2x", "2y"].contains(&version)
        && cost.len() == 2
        && cost.bytes().all(|byte| byte.is_ascii_digit())
        && rest.len() == 53
        && rest.bytes().all(is_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `htpasswd -B`, as Docker's documentation shows one.
    const BCRYPT: &str = "$2y$05$Geu2Z4LN0QDpUJBHvP5JVOsKOLH/XPoJBqISv1D8Aeh6LVGvjWWVC";

    #[test]
    fn users_with_hashes_of_bcrypt_are_taken() {
        let other = BCRYPT.replace("2y$05", "2b$12");
        assert_eq!(check(&format!("# the office\nada:{BCRYPT}\r\n\n  bob:{other}\n")), Ok(()));
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn the_first_other_line_is_named_and_not_shown() {
        let short = &BCRYPT[..40];
        for line in [
            "eve:$apr1$hc1hKYZ1$Hh1BKgmAgKmPGDRYZgHXs.",
            "eve:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "eve:hunter2",
            "hunter2",
            &format!("eve:{short}"),
            &format!(":{BCRYPT}"),
        ] {
            let said = check(&format!("ada:{BCRYPT}\n{line}\n")).unwrap_err();
            assert_eq!(
                said,
                "line 2 is no `USER:HASH` with a hash of bcrypt, and the registry takes no other: write it with `htpasswd -B`"
            );
        }
    }
}
