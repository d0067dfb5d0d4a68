//! As much of HTTP as a proof needs: one question, one answer, then the end of the connection.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The name in `Host:`.
    pub host: String,
    pub path: String,
    method: &'static str,
    version: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    login: Option<SecretString>,
    body: String,
}

impl Question {
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> Question {
        let (host, path) = (host.into(), path.into());
        Question {
            host,
            path,
            method: "GET",
            version: "1.0",
            headers: Vec::new(),
            login: None,
            body: String::new(),
        }
    }

    pub fn method(self, method: &'static str) -> Question {
        Question { method, ..self }
    }

    /// For who refuses HTTP/1.0, as Envoy does, and whose answer has a length.
    pub fn http_1_1(self) -> Question {
        Question { version: "1.1", ..self }
    }

    pub fn header(mut self, name: &'static str, value: &'static str) -> Question {
        self.headers.push((name, value));
        self
    }

    /// With what stands after `Authorization:`. Only for connections from this program: as a word of a command everybody on
    /// that host would read it.
    pub fn login(self, login: &SecretString) -> Question {
        Question { login: Some(login.clone()), ..self }
    }

    pub fn body(self, body: impl Into<String>) -> Question {
        Question { body: body.into(), ..self }
    }

    /// HTTP/1.0 unless it is told otherwise: the answer ends with the connection and has no chunks.
    pub fn text(&self) -> String {
        let Question { method, path, version, host, .. } = self;
        let mut head = format!("{method} {path} HTTP/{version}\r\nHost: {host}\r\n");
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(login) = &self.login {
            head += &format!("Authorization: {}\r\n", login.expose_secret());
        }
        if self.method != "GET" {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        format!("{head}Connection: close\r\n\r\n{}", self.body)
    }
}

/// What stands after `Authorization:` for a name and a password.
pub(super) fn basic(user: &str, password: &SecretString) -> SecretString {
    let both = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
    SecretString::from(format!("Basic {both}"))
}

/// An answer that is HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header, whatever its letters' case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
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
            let pair = |line: &str| {
                line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            };
            let headers = head.lines().skip(1).filter_map(pair).collect();
            Ok(Answer { status, headers, body: body.to_owned() })
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
    fn a_question_has_its_login_on_the_wire_and_nowhere_else() {
        let login = basic("ada", &SecretString::from("hunter2"));
        let asked = Question::new("a.test", "/v2/").method("PUT").login(&login).body("{}");
        assert_eq!(
            asked.text(),
            "PUT /v2/ HTTP/1.0\r\nHost: a.test\r\nAuthorization: Basic YWRhOmh1bnRlcjI=\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n{}"
        );
        assert!(!format!("{asked:?}").contains("YWRh"), "{asked:?}");
        assert_eq!(
            Question::new("a.test", "/").text(),
            "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        );
        assert!(
            Question::new("a.test", "/").http_1_1().text().starts_with("GET / HTTP/1.1\r\nHost: a.test\r\n")
        );
    }

    #[test]
    fn an_answer_is_read_and_anything_else_is_told() {
        let fine = read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\npod a on w1\n");
        let headers = vec![("A".to_owned(), "b".to_owned())];
        assert_eq!(fine, Ok(Answer { status: 200, headers, body: "pod a on w1\n".to_owned() }));
        assert_eq!(fine.as_ref().unwrap().header("a"), Some("b"));
        assert_eq!(told(&fine), "status 200 and \"pod a on w1\"");
        assert_eq!(told(&read(b"HTTP/1.1 404 Not Found\r\n\r\n")), "status 404");
        assert_eq!(told(&read(b"SSH-2.0-OpenSSH\r\n")), "what came is not HTTP: \"SSH-2.0-OpenSSH\"");
        assert_eq!(told(&read(b"")), "the connection was closed without an answer");
    }
}
