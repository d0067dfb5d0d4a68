//! As much of HTTP as a proof needs: one question, one answer, then the end of the connection.

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The name in `Host:`.
    pub host: String,
    pub path: String,
}

impl Question {
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> Question {
        Question { host: host.into(), path: path.into() }
    }

    /// HTTP/1.0: the answer ends with the connection and has no chunks.
    pub fn text(&self) -> String {
        format!("GET {} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n", self.path, self.host)
    }
}

/// An answer that is HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

/// Reads an answer.
///
/// # Errors
/// In words, when it is none.
pub(super) fn read(bytes: &[u8]) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(bytes);
    if text.is_empty() {
        return Err("the connection was closed without an answer".to_owned());
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut words = head.lines().next().unwrap_or_default().split_whitespace();
    match (words.next(), words.next().map(str::parse)) {
        (Some(protocol), Some(Ok(status))) if protocol.starts_with("HTTP/1.") => {
            Ok(Answer { status, body: body.to_owned() })
        }
        _ => Err(format!("what came is not HTTP: {:?}", clip(head))),
    }
}

/// The start of a text that somebody else wrote, in one printable line.
pub(super) fn clip(text: &str) -> String {
    text.chars()
        .take(80)
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// What came, in words.
pub(super) fn told(came: &Result<Answer, String>) -> String {
    match came {
        Ok(answer) if answer.body.is_empty() => format!("status {}", answer.status),
        Ok(answer) => format!("status {} and {:?}", answer.status, clip(&answer.body)),
        Err(reason) => reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_anything_else_is_told() {
        let fine = read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\npod a on w1\n");
        assert_eq!(fine, Ok(Answer { status: 200, body: "pod a on w1\n".to_owned() }));
        assert_eq!(told(&fine), "status 200 and \"pod a on w1\"");
        assert_eq!(told(&read(b"HTTP/1.1 404 Not Found\r\n\r\n")), "status 404");
        assert_eq!(told(&read(b"SSH-2.0-OpenSSH\r\n")), "what came is not HTTP: \"SSH-2.0-OpenSSH\"");
        assert_eq!(told(&read(b"")), "the connection was closed without an answer");
    }
}
