//! The framing of scripts: what is written to a shell for one script, and how its answer is found in the streams.
//!
//! A frame is one compound command, so that the shell has read all of it before it runs any of it. Markers with
//! a fresh random nonce stand before and after the script's output on both streams; whatever is outside of them
//! (message of the day, output of a login script, a sudo lecture, what background processes print later) is noise.

use memchr::memmem;

/// How much of a stream is kept to show in errors, in bytes.
const TAIL: usize = 4096;

/// 128 random bits that mark one frame.
#[derive(Clone)]
pub(crate) struct Nonce(String);

impl Nonce {
    pub(crate) fn new() -> Result<Nonce, getrandom::Error> {
        let high = getrandom::u64()?;
        let low = getrandom::u64()?;
        Ok(Nonce(format!("{high:016x}{low:016x}")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a script finds on its standard input.
pub(crate) enum Input<'a> {
    /// Nothing: `/dev/null`.
    Nothing,
    /// This text.
    Text(&'a str),
    /// What is sent to the shell after the frame. The shell ends if the script fails, for it could not tell how
    /// much of that was read: the rest must never be taken for commands.
    Raw,
}

/// Quotes a text for a POSIX shell, so that it is one word with exactly these bytes.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    quoted.push('\'');
    for (i, part) in text.split('\'').enumerate() {
        if i > 0 {
            quoted.push_str("'\\''");
        }
        quoted.push_str(part);
    }
    quoted.push('\'');
    quoted
}

/// The bytes to write to a shell to have it run `script`.
///
/// Only builtins touch the texts: they stand in no argument list and in no file. The script runs in a subshell,
/// so that `exit`, `cd` and `set` end with it, and behind `eval`, so that a syntax error is only a status.
pub(crate) fn encode(nonce: &Nonce, script: &str, input: Input<'_>) -> Vec<u8> {
    let n = nonce.as_str();
    let eval = format!("( eval {} )", quote(script));
    let (command, guard) = match input {
        Input::Nothing => (format!("{eval} </dev/null"), ""),
        Input::Text(text) => (format!("printf %s {} 2>/dev/null | {eval}", quote(text)), ""),
        Input::Raw => (eval, "[ \"$hoist_s\" = 0 ] || exit \"$hoist_s\"; "),
    };
    format!(
        "{{ printf '\\n%s begin\\n' {n}; printf '\\n%s begin\\n' {n} >&2; {command}; hoist_s=$?; \
         printf '\\n%s end %d\\n' {n} \"$hoist_s\" >&2; printf '\\n%s end %d\\n' {n} \"$hoist_s\"; {guard}}}\n"
    )
    .into_bytes()
}

/// Finds what one frame wrote to one stream.
pub(crate) struct Demux {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// Most bytes that are kept of the output.
    limit: usize,
    state: State,
    /// Before the begin marker: the last noise. After it: the output.
    bytes: Vec<u8>,
    /// Where in `bytes` the search for the next marker goes on.
    searched: usize,
    overflow: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    Done(i32),
}

impl Demux {
    pub(crate) fn new(nonce: &Nonce, limit: usize) -> Demux {
        Demux {
            begin: format!("\n{} begin\n", nonce.as_str()).into_bytes(),
            end: format!("\n{} end ", nonce.as_str()).into_bytes(),
            limit,
            state: State::Before,
            bytes: Vec::new(),
            searched: 0,
            overflow: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if matches!(self.state, State::Done(_)) {
            return;
        }
        self.bytes.extend_from_slice(data);
        if self.state == State::Before {
            match find(&self.bytes, &self.begin, self.searched) {
                Some(at) => {
                    self.bytes.drain(..at + self.begin.len());
                    self.state = State::Inside;
                    self.searched = 0;
                }
                None => {
                    self.keep_last(TAIL.max(self.begin.len()));
                    self.searched = self.bytes.len().saturating_sub(self.begin.len() - 1);
                }
            }
        }
        if self.state == State::Inside {
            self.look_for_end();
        }
    }

    fn look_for_end(&mut self) {
        if let Some(at) = find(&self.bytes, &self.end, self.searched) {
            let rest = &self.bytes[at + self.end.len()..];
            self.searched = at;
            let Some(line) = memchr::memchr(b'\n', rest) else { return };
            let status = std::str::from_utf8(&rest[..line]).ok().and_then(|digits| digits.parse().ok());
            self.bytes.truncate(at);
            self.overflow |= self.bytes.len() > self.limit;
            self.state = State::Done(status.unwrap_or(255));
        } else {
            if self.bytes.len() > self.limit.saturating_add(self.end.len()) {
                self.overflow = true;
            }
            if self.overflow {
                self.keep_last(TAIL.max(self.end.len()));
            }
            self.searched = self.bytes.len().saturating_sub(self.end.len() - 1);
        }
    }

    fn keep_last(&mut self, count: usize) {
        let surplus = self.bytes.len().saturating_sub(count);
        self.bytes.drain(..surplus);
    }

    /// The exit status, once the end of the frame has been seen.
    pub(crate) fn status(&self) -> Option<i32> {
        match self.state {
            State::Done(status) => Some(status),
            State::Before | State::Inside => None,
        }
    }

    /// Whether the script was seen to start.
    pub(crate) fn begun(&self) -> bool {
        self.state != State::Before
    }

    /// Whether there was more output than may be kept.
    pub(crate) fn overflow(&self) -> bool {
        self.overflow
    }

    /// The output up to now; while the frame has not ended its last bytes may be a part of the marker.
    pub(crate) fn output(&self) -> &[u8] {
        if self.begun() { &self.bytes } else { &[] }
    }

    /// Takes the output out.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The last lines of output, or of the noise when the script was not seen to start.
    pub(crate) fn tail(&self) -> String {
        let from = self.bytes.len().saturating_sub(TAIL);
        String::from_utf8_lossy(&self.bytes[from..]).trim().to_owned()
    }
}

fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    memmem::find(&bytes[from..], needle).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nonce() -> Nonce {
        Nonce("0123456789abcdef0123456789abcdef".into())
    }

    #[test]
    fn nonces_differ() {
        let (a, b) = (Nonce::new().unwrap(), Nonce::new().unwrap());
        assert_eq!(a.as_str().len(), 32);
        assert_ne!(a.as_str(), b.as_str());
    }

    #[test]
    fn quoting() {
        for (text, quoted) in [("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("''", r"''\'''\'''")] {
            assert_eq!(quote(text), quoted);
        }
    }

    #[test]
    fn noise_is_dropped_and_its_tail_kept() {
        let mut demux = Demux::new(&nonce(), 1024);
        demux.push(&[b'x'; 100_000]);
        demux.push(b"permission denied\n");
        assert!(!demux.begun());
        assert_eq!(demux.output(), b"");
        assert!(demux.tail().ends_with("permission denied"));
        assert!(demux.bytes.len() <= TAIL);
    }

    #[test]
    fn too_much_output_is_drained() {
        let mut demux = Demux::new(&nonce(), 1000);
        demux.push(b"\n0123456789abcdef0123456789abcdef begin\n");
        for _ in 0..1000 {
            demux.push(&[b'y'; 1000]);
            assert!(demux.bytes.len() < 10_000);
        }
        demux.push(b"\n0123456789abcdef0123456789abcdef end 0\n");
        assert_eq!((demux.status(), demux.overflow()), (Some(0), true));
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        for (size, overflow) in [(999, false), (1000, false), (1001, true)] {
            let mut demux = Demux::new(&nonce(), 1000);
            demux.push(b"\n0123456789abcdef0123456789abcdef begin\n");
            demux.push(&vec![b'y'; size]);
            demux.push(b"\n0123456789abcdef0123456789abcdef end 0\n");
            assert_eq!((demux.status(), demux.overflow()), (Some(0), overflow), "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_output_in_any_pieces(
            noise in prop::collection::vec(any::<u8>(), 0..200),
            output in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            late in prop::collection::vec(any::<u8>(), 0..50),
            status in 0..256i32,
            cuts in prop::collection::vec(1..40usize, 1..60),
        ) {
            let mut stream = noise;
            stream.extend_from_slice(b"\n0123456789abcdef0123456789abcdef begin\n");
            stream.extend_from_slice(&output);
            stream.extend_from_slice(format!("\n0123456789abcdef0123456789abcdef end {status}\n").as_bytes());
            stream.extend_from_slice(&late);
            let mut demux = Demux::new(&nonce(), 1024);
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, next) = rest.split_at((*cut).min(rest.len()));
                demux.push(piece);
                rest = next;
            }
            prop_assert_eq!(demux.status(), Some(status));
            prop_assert_eq!(demux.take(), output);
        }
    }
}
