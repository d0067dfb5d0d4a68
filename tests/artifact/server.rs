//! A web server in a thread, with the misbehaviour of real ones.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What the server does instead of answering as it should, once for each time it is listed.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Sends so many bytes of the answer and closes the connection.
    Cut(usize),
    /// Sends so many bytes and then nothing for longer than anybody waits.
    Stall(usize),
    Status(u16),
    Redirect(String),
    /// Ignores a range that was asked for.
    Whole,
    /// Does not say how long the answer is.
    NoLength,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    faults: HashMap<String, Vec<Fault>>,
    log: Vec<String>,
}

/// A running server; it ends with this value.
pub struct Server {
    state: Arc<Mutex<State>>,
    ending: Arc<AtomicBool>,
    port: u16,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let ending = Arc::new(AtomicBool::new(false));
        let (shared, end) = (Arc::clone(&state), Arc::clone(&ending));
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&shared);
                thread::spawn(move || drop(answer(connection, &state)));
            }
        });
        Server { state, ending, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Has a file at a path, which begins with a slash.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().files.insert(path.into(), content.into());
    }

    /// Has what is at an official address, below the host's name.
    pub fn mirror(&self, url: &str, content: impl Into<Vec<u8>>) {
        self.put(url.strip_prefix("https:/").unwrap(), content);
    }

    /// Misbehaves at a path, in this order, and then no more.
    pub fn faults(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut faults: Vec<Fault> = faults.into_iter().collect();
        faults.reverse();
        self.state.lock().unwrap().faults.insert(path.into(), faults);
    }

    /// What was asked for until now: method, path and range. Forgets it.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // The thread looks at it when somebody connects.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.is_empty() {
        // A connection that was opened in vain.
        return Ok(());
    }
    let mut words = line.split_whitespace();
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut from = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(range) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim().trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let (content, fault) = {
        let mut state = state.lock().unwrap();
        let range = from.map(|from| format!(" from {from}")).unwrap_or_default();
        state.log.push(format!("{method} {path}{range}"));
        let fault = state.faults.get_mut(&path).and_then(Vec::pop);
        (state.files.get(&path).cloned(), fault)
    };
    let mut stream = stream;
    if let Some(Fault::Redirect(to)) = &fault {
        let head =
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return stream.write_all(head.as_bytes());
    }
    let status = match (&fault, &content) {
        (Some(Fault::Status(status)), _) => Some(*status),
        (_, None) => Some(404),
        _ => None,
    };
    if let Some(status) = status {
        let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return stream.write_all(head.as_bytes());
    }
    let content = content.unwrap_or_default();
    let from = from.filter(|_| !matches!(fault, Some(Fault::Whole)));
    if from.is_some_and(|from| from >= content.len()) {
        let head = "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(head.as_bytes());
    }
    let body = &content[from.unwrap_or(0)..];
    let mut head = match from {
        Some(from) => {
            format!(
                "HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            )
        }
        None => String::from("HTTP/1.1 200 OK\r\n"),
    };
    if !matches!(fault, Some(Fault::NoLength)) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if method == "HEAD" {
        return Ok(());
    }
    match fault {
        Some(Fault::Cut(bytes)) => stream.write_all(&body[..bytes.min(body.len())]),
        Some(Fault::Stall(bytes)) => {
            stream.write_all(&body[..bytes.min(body.len())])?;
            thread::sleep(Duration::from_secs(3));
            Ok(())
        }
        _ => stream.write_all(body),
    }
}
