//! A proxy in front of the emulator of AWS, which breaks calls as networks and AWS do. A connection has one call.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

/// What happens to a call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection ends before anything was done.
    CutBefore,
    /// It ends when everything is done, and nothing is answered.
    CutAfter,
    /// The answer comes this much later.
    Late(Duration),
    /// Nothing is done, and this status and code are answered.
    Refused(u16, &'static str),
}

#[derive(Default)]
struct State {
    /// By action, for its next call.
    once: BTreeMap<String, Fault>,
    /// By action, for all its calls; `*` is every action.
    always: BTreeMap<String, Fault>,
    calls: Vec<String>,
}

/// One that runs as long as its process.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// At this address, in front of the server that has this URL.
    pub fn start(address: &str, server: &str) -> io::Result<Proxy> {
        let listener = TcpListener::bind(address)?;
        let proxy = Proxy { url: format!("http://{}", listener.local_addr()?), state: Arc::default() };
        let (state, server) = (proxy.state.clone(), server.trim_start_matches("http://").to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, server) = (state.clone(), server.clone());
                // What breaks here breaks for the client, too.
                thread::spawn(move || serve(&state, &stream, &server));
            }
        });
        Ok(proxy)
    }

    /// The next call of this action.
    pub fn next(&self, action: &str, fault: Fault) {
        lock(&self.state).once.insert(action.to_owned(), fault);
    }

    /// All calls of this action, or of each with `*`.
    pub fn always(&self, action: &str, fault: Fault) {
        lock(&self.state).always.insert(action.to_owned(), fault);
    }

    /// From now on nothing breaks, and calls are counted anew.
    pub fn mend(&self) {
        *lock(&self.state) = State::default();
    }

    /// How often this action was called, whatever came of it.
    pub fn calls(&self, action: &str) -> usize {
        lock(&self.state).calls.iter().filter(|called| *called == action).count()
    }

    /// Every action that was called.
    pub fn called(&self) -> Vec<String> {
        lock(&self.state).calls.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn serve(state: &Mutex<State>, mut client: &TcpStream, server: &str) -> io::Result<()> {
    let call = Call::read(client)?;
    let fault = {
        let mut state = lock(state);
        state.calls.push(call.action.clone());
        let always = state.always.get(&call.action).or(state.always.get("*")).copied();
        state.once.remove(&call.action).or(always)
    };
    match fault {
        Some(Fault::CutBefore) => {}
        Some(Fault::Refused(status, code)) => client.write_all(call.refusal(status, code).as_bytes())?,
        Some(Fault::CutAfter) => drop(call.forward(server)?),
        Some(Fault::Late(pause)) => {
            let answer = call.forward(server)?;
            thread::sleep(pause);
            client.write_all(&answer)?;
        }
        None => client.write_all(&call.forward(server)?)?,
    }
    Ok(())
}

/// A call as it came.
struct Call {
    /// Without what says how long the connection is kept.
    head: String,
    body: Vec<u8>,
    action: String,
    /// That of the API, in calls of EC2's kind.
    version: String,
}

impl Call {
    fn read(stream: &TcpStream) -> io::Result<Call> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length, mut target) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or_default(),
                "x-amz-target" => target = value.rsplit('.').next().unwrap_or_default().to_owned(),
                "connection" => continue,
                _ => {}
            }
            if line.trim_end().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let form = String::from_utf8_lossy(&body).into_owned();
        let field = |name: &str| {
            let mut fields = form.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(it, _)| *it == name).map(|(_, value)| value.to_owned())
        };
        let (action, version) = (field("Action").unwrap_or(target), field("Version").unwrap_or_default());
        Ok(Call { head, body, action, version })
    }

    /// The server's answer.
    fn forward(&self, server: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(format!("{}Connection: close\r\n\r\n", self.head).as_bytes())?;
        stream.write_all(&self.body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// In the words of the API that was called.
    fn refusal(&self, status: u16, code: &str) -> String {
        let error = format!("<Code>{code}</Code><Message>refused by the proxy</Message>");
        let (kind, body) = match self.version.as_str() {
            "" => (
                "x-amz-json-1.1",
                format!("{{\"__type\": \"{code}\", \"message\": \"refused by the proxy\"}}"),
            ),
            "2010-05-15" => (
                "xml",
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>1</RequestId></ErrorResponse>"
                ),
            ),
            _ => (
                "xml",
                format!(
                    "<Response><Errors><Error>{error}</Error></Errors><RequestID>1</RequestID></Response>"
                ),
            ),
        };
        format!(
            "HTTP/1.1 {status} Refused\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}
