//! How many round trips a host costs.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::bed::{Fleet, address};

/// Passes one connection after another on to a server, and counts how often the client speaks after the server has.
struct Counter {
    port: u16,
    turns: Arc<AtomicUsize>,
}

impl Counter {
    /// On another port of the first host.
    fn before(server: String) -> Counter {
        let listener = TcpListener::bind((server.as_str(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let turns = Arc::new(AtomicUsize::new(0));
        let count = turns.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) =
                    (client.unwrap(), TcpStream::connect((server.as_str(), 2222)).unwrap());
                let spoken = Arc::new(AtomicBool::new(false));
                let (heard, count) = (spoken.clone(), count.clone());
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass(from, to, || heard.store(true, SeqCst)));
                thread::spawn(move || {
                    pass(client, server, || {
                        if spoken.swap(false, SeqCst) {
                            count.fetch_add(1, SeqCst);
                        }
                    })
                });
            }
        });
        Counter { port, turns }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: impl Fn()) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        heard();
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

/// Connecting, the lock with the facts, and the probe: OpenSSH's client with one script has nearly as many.
#[test]
fn a_run_with_nothing_to_do_takes_hardly_more_turns_than_ssh_with_one_script() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet.hoist("apply", &["--only", "note"]).exits(0);
    let counter = fleet.enter(|| Counter::before(address(0)));
    for name in ["inventory.yaml", "known_hosts"] {
        let text = std::fs::read_to_string(fleet.path(name)).unwrap();
        fleet.write(name, &text.replace("2222", &counter.port.to_string()));
    }
    let turns = |work: &dyn Fn()| {
        counter.turns.store(0, SeqCst);
        work();
        counter.turns.load(SeqCst)
    };
    let port = counter.port.to_string();
    // Where the machine is busy an answer comes in pieces, between which the client may speak: the fewest count.
    let fewest = |work: &dyn Fn()| (0..5).map(|_| turns(work)).min().unwrap();
    let ssh = fewest(&|| fleet.on(&port, 0, "true"));
    let hoist = fewest(&|| {
        fleet.hoist("apply", &["--only", "note"]).exits(0).says("0 changes");
    });
    assert!(hoist <= ssh + 2, "hoist {hoist}, ssh {ssh}");
    let ran = fleet.hoist("apply", &["--only", "note", "--output", "json"]).exits(0);
    let ended: serde_json::Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(ended["exchanges"], serde_json::json!({"cp1": 2}), "what it is, and whether all holds");
}
