//! An emulator of AWS for tests: moto, out of PyPI, on a loopback port of its own.

use std::{
    fs::{self, File},
    io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const VERSION: &str = "5.2.5";
/// The server, with what tests need mended.
const START: &str = concat!(include_str!("instances.py"), "\n\n", include_str!("moto.py"));
const PYTHON: &str = "python3";

/// One that runs; it ends when this goes.
pub struct Moto {
    server: Child,
    pub url: String,
}

impl Moto {
    /// Installed the first time, into the cache; with rules, which `instances.py` describes. Or why it cannot be had.
    pub fn start(cache: &Path, rules: &str) -> Result<Moto, String> {
        let folder = installed(cache)?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = port.map_err(|error| error.to_string())?;
        let mut command = Command::new(PYTHON);
        command.args(["-c", START, "-H", "127.0.0.1", "-p", &address.port().to_string()]);
        command
            .env("PYTHONPATH", folder)
            .env("RULES", rules)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let moto = Moto { server, url: format!("http://{address}") };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err(String::from("moto does not answer within 60 s"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn installed(cache: &Path) -> Result<PathBuf, String> {
    let tools = cache.join("tools");
    let folder = tools.join(format!("moto-{VERSION}"));
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    // Many tests begin at the same time, and one of them installs it.
    fs::create_dir_all(&tools).map_err(said)?;
    let turn = File::create(tools.join("moto.lock")).map_err(said)?;
    turn.lock().map_err(said)?;
    if !folder.exists() {
        // Beside it first, so that nobody uses a half.
        let beside = tools.join(format!("moto-{VERSION}.new"));
        let _ = fs::remove_dir_all(&beside);
        let mut pip = Command::new(PYTHON);
        pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&beside);
        let output = pip.arg(format!("moto[server]=={VERSION}")).output();
        let output = output.map_err(|error| format!("{pip:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{pip:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        fs::rename(&beside, &folder).map_err(said)?;
    }
    Ok(folder)
}
