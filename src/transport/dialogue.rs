//! A script that lives beside others on a host and answers lines with lines.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Error,
    frame::quote,
    root::Opener,
    shell::{Event, Pipes},
};

/// How long a shell may take to read the script.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest line that is an answer.
const LONGEST: usize = 4096;

/// A script that answers each line on its standard input with one line on its standard output.
///
/// Its input ends when this value goes and when the connection does, however that comes about: then it must clear up
/// and end.
pub struct Dialogue {
    host: String,
    pipes: Pipes,
    heard: Vec<u8>,
}

impl Dialogue {
    /// Starts the script in a new root shell, as one command, so that the shell has read all of it before its first
    /// line is read.
    pub(super) async fn open<O: Opener>(opener: &O, script: &str) -> Result<Dialogue, Error> {
        let pipes = opener.open().await?.into_pipes();
        let mut dialogue = Dialogue { host: opener.host().to_owned(), pipes, heard: Vec::new() };
        // A shell reads ahead: what came with its command would be lost to the script.
        dialogue.ask(&format!("{{ echo ready; eval {}; exit; }}", quote(script)), PATIENCE).await?;
        Ok(dialogue)
    }

    /// Writes a line and waits for the answer.
    ///
    /// # Errors
    /// When none comes within `patience`, or the script has ended.
    pub async fn ask(&mut self, line: &str, patience: Duration) -> Result<String, Error> {
        self.write(&format!("{line}\n")).await?;
        match timeout(patience, self.line()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.ended("it ended")),
            Err(_) => Err(self.ended("it does not answer")),
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Error> {
        let input = &mut self.pipes.input;
        let written = async {
            input.write_all(text.as_bytes()).await?;
            input.flush().await
        };
        written.await.map_err(|error| self.ended(&error.to_string()))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.heard) {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            match self.pipes.events.recv().await? {
                Event::Stdout(data) if self.heard.len() < LONGEST => self.heard.extend_from_slice(&data),
                Event::Stdout(_) | Event::Exit(_) => return None,
                Event::Stderr(_) => {}
            }
        }
    }

    fn ended(&self, reason: &str) -> Error {
        Error::ShellEnded { host: self.host.clone(), reason: reason.to_owned(), output: String::new() }
    }
}
