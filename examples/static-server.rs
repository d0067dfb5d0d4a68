//! A tiny static file server: the sample application of the lab's clusters.
//!
//! `static-server [FOLDER] [PORT]`, or `STATIC_SERVER_FOLDER` and `STATIC_SERVER_PORT`; by default `/srv` and
//! 8080. Answers GET and HEAD, `/healthz` with `ok`, and logs one line a request. Standard library only, so that
//! one file and one compiler call make it.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// More than any header of a sane client; what is longer is cut off.
const LONGEST_REQUEST: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

const SIGTERM: i32 = 15;

unsafe extern "C" {
    // From the C library, which the standard library links anyway.
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn _exit(status: i32) -> !;
}

extern "C" fn end(_signal: i32) {
    // SAFETY: `_exit` may be called from a signal handler (signal-safety(7)).
    unsafe { _exit(0) }
}

fn main() -> io::Result<()> {
    // The first process of a container ignores signals that it has no handler for; without this one, every
    // shutdown of a pod takes the whole grace period.
    // SAFETY: the handler does nothing but end the process.
    unsafe { signal(SIGTERM, end) };
    let setting = |position, name, default: &str| {
        env::args().nth(position).or_else(|| env::var(name).ok()).unwrap_or_else(|| default.to_owned())
    };
    let folder = Arc::new(PathBuf::from(setting(1, "STATIC_SERVER_FOLDER", "/srv")));
    let port = setting(2, "STATIC_SERVER_PORT", "8080").parse::<u16>().map_err(io::Error::other)?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("serving {} on {}", folder.display(), listener.local_addr()?);
    for stream in listener.incoming().flatten() {
        let folder = Arc::clone(&folder);
        // A client that goes away is its own affair.
        thread::spawn(move || serve(&stream, &folder));
    }
    Ok(())
}

fn serve(mut stream: &TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(io::Read::take(stream, LONGEST_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, kind, body) = answer(&request, folder);
    println!("{} \"{}\" {status} {}", stream.peer_addr()?, request.escape_default(), body.len());
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if !request.starts_with("HEAD ") {
        stream.write_all(&body)?;
    }
    stream.flush()
}

/// Status line, content type and body for a request line.
fn answer(request: &str, folder: &Path) -> (&'static str, &'static str, Vec<u8>) {
    let text = |status, body: &str| (status, "text/plain; charset=utf-8", body.as_bytes().to_vec());
    let mut words = request.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return text("400 Bad Request", "bad request\n");
    };
    if !matches!(method, "GET" | "HEAD") {
        return text("405 Method Not Allowed", "only GET and HEAD\n");
    }
    let target = target.split(['?', '#']).next().unwrap_or_default();
    if target == "/healthz" {
        return text("200 OK", "ok\n");
    }
    let relative = Path::new(target.trim_start_matches('/'));
    if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
        return text("404 Not Found", "not found\n");
    }
    let mut path = folder.join(relative);
    if path.is_dir() {
        path.push("index.html");
    }
    // Links may point anywhere (a ConfigMap's do, inside its folder), but not out of the folder.
    let inside =
        || Some(path.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?)).filter(|inside| *inside);
    match inside().and_then(|_| fs::read(&path).ok()) {
        Some(body) => ("200 OK", content_type(&path), body),
        None => text("404 Not Found", "not found\n"),
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let root = env::temp_dir().join(format!("static-server-{}", std::process::id()));
        let folder = root.join("public");
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.join("secret.txt"), "secret").unwrap();
        fs::write(folder.join("index.html"), "hello").unwrap();
        std::os::unix::fs::symlink(root.join("secret.txt"), folder.join("link.txt")).unwrap();
        for (request, status) in [
            ("GET / HTTP/1.1", "200 OK"),
            ("GET /index.html?x=1 HTTP/1.1", "200 OK"),
            ("HEAD /healthz HTTP/1.1", "200 OK"),
            ("GET /../secret.txt HTTP/1.1", "404 Not Found"),
            ("GET /link.txt HTTP/1.1", "404 Not Found"),
            ("GET /missing HTTP/1.1", "404 Not Found"),
            ("POST / HTTP/1.1", "405 Method Not Allowed"),
            ("nonsense", "400 Bad Request"),
        ] {
            assert_eq!(answer(request, &folder).0, status, "{request}");
        }
        assert_eq!(answer("GET / HTTP/1.1", &folder).2, b"hello");
        fs::remove_dir_all(&root).unwrap();
    }
}
