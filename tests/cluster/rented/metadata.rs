//! EC2's instance metadata service (version 2 alone), for all nodes of a lab: who asks is told by the address.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use nix::sched::{CloneFlags, setns};

const ADDRESS: &str = "169.254.169.254";
const TOKEN: &str = "a-token-of-the-metadata-service";

/// What an instance is told of itself.
#[derive(Debug, Clone)]
pub struct Metadata {
    pub id: String,
    pub zone: String,
    /// When EC2 takes it back.
    pub notice: Option<String>,
}

/// What is told, by address. It is served until the lab is down.
#[derive(Clone)]
pub struct Directory(Arc<Mutex<BTreeMap<String, Metadata>>>);

impl Directory {
    /// Listens in the lab's network, at the address that all instances of EC2 know.
    pub fn serve(lab: &str) -> Directory {
        let added = ["-n", lab, "address", "add", &format!("{ADDRESS}/32"), "dev", "gateway0"];
        assert!(Command::new("ip").args(added).status().unwrap().success());
        let directory = Directory(Arc::default());
        let (told, network) = (directory.clone(), std::fs::File::open(format!("/run/netns/{lab}")).unwrap());
        thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind((ADDRESS, 80)).unwrap();
            for stream in listener.incoming().flatten() {
                let told = told.clone();
                thread::spawn(move || told.answer(&stream));
            }
        });
        directory
    }

    pub fn tell(&self, address: &str, metadata: Metadata) {
        self.0.lock().unwrap().insert(address.to_owned(), metadata);
    }

    /// From now on EC2 wants the instance back, in two minutes.
    pub fn notice(&self, address: &str) {
        let notice = "{\"action\":\"terminate\",\"time\":\"2030-01-01T00:02:00Z\"}".to_owned();
        self.0.lock().unwrap().get_mut(address).unwrap().notice = Some(notice);
    }

    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let request = lines.next()?;
        let headers: Vec<String> =
            lines.take_while(|line| !line.is_empty()).map(|it| it.to_lowercase()).collect();
        let has = |start: &str| headers.iter().any(|header| header.starts_with(start));
        let own = self.0.lock().unwrap().get(&stream.peer_addr().ok()?.ip().to_string()).cloned();
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let body = match (method, path, own) {
            (_, _, None) => Err(404),
            ("PUT", "/latest/api/token", _) if has("x-aws-ec2-metadata-token-ttl-seconds:") => {
                Ok(TOKEN.to_owned())
            }
            ("GET", _, _) if !has(&format!("x-aws-ec2-metadata-token: {TOKEN}")) => Err(401),
            ("GET", "/latest/meta-data/instance-id", Some(own)) => Ok(own.id),
            ("GET", "/latest/meta-data/placement/availability-zone", Some(own)) => Ok(own.zone),
            ("GET", "/latest/meta-data/local-ipv4", _) => Ok(stream.peer_addr().ok()?.ip().to_string()),
            ("GET", "/latest/meta-data/spot/instance-action", Some(own)) => own.notice.ok_or(404),
            _ => Err(404),
        };
        let (status, body) = body.map_or_else(|code| (code, String::new()), |body| (200, body));
        let length = body.len();
        let head = format!("HTTP/1.1 {status} .\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).ok()
    }
}
