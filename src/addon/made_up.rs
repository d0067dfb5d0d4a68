//! Secrets that nobody has to think of: made up once, and kept in the cluster alone.

use secrecy::SecretString;

const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Letters and digits of the system's random numbers, each as likely as the others.
///
/// # Errors
/// When the system gives no random numbers.
pub(super) fn made_up(length: u32) -> Result<SecretString, getrandom::Error> {
    // The largest multiple of the number of characters: what is above it would make the first ones likelier.
    let fair = u8::MAX - u8::MAX % 62;
    let mut text = String::new();
    let mut bytes = [0; 64];
    while text.len() < length as usize {
        getrandom::fill(&mut bytes)?;
        let missing = length as usize - text.len();
        let taken = bytes.iter().filter(|byte| **byte < fair).take(missing);
        text.extend(taken.map(|byte| char::from(CHARACTERS[usize::from(byte % 62)])));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn it_has_its_length_and_letters_and_digits_and_is_never_the_same() {
        for length in [1, 16, 63, 64, 65, 256] {
            let (one, other) = (made_up(length).unwrap(), made_up(length).unwrap());
            assert_eq!(one.expose_secret().len(), length as usize);
            assert!(one.expose_secret().bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert!(length < 16 || one.expose_secret() != other.expose_secret());
        }
    }

    #[test]
    fn every_character_is_as_likely() {
        let text = made_up(62 * 1000).unwrap();
        for character in CHARACTERS {
            let seen = text.expose_secret().bytes().filter(|byte| byte == character).count();
            // 1000 are expected with a deviation of 31: eight of them are never seen.
            assert!((750..1250).contains(&seen), "{} {seen} times", char::from(*character));
        }
    }
}
